package wildfire

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/beevik/etree"
)

// parseVerdicts reads get-verdict-info records, by scanning where the answer is as plain as the service
// writes it, and by building a tree where it is anything else.
func parseVerdicts(body []byte, tags int) ([]VerdictRecord, error) {
	if records, ok := scanVerdicts(body, tags); ok {
		return records, nil
	}
	return treeVerdicts(body, tags)
}

// treeVerdicts is the authority on what an answer means.
func treeVerdicts(body []byte, tags int) ([]VerdictRecord, error) {
	root, err := wildfireRoot(body, tags)
	if err != nil {
		return nil, err
	}
	var records []VerdictRecord
	for _, info := range root.SelectElements("get-verdict-info") {
		var r recordReader
		for _, token := range info.Child {
			if child, ok := token.(*etree.Element); ok {
				r.field(child.Tag, trimmed(child))
			}
		}
		records = append(records, r.done())
	}
	return records, nil
}

// recordReader gathers the fields of a record; of a hash that comes twice, the first counts.
type recordReader struct {
	record         VerdictRecord
	seen, readable bool // a verdict
}

func (r *recordReader) field(name, text string) {
	switch name {
	case "sha256":
		setFirst(&r.record.SHA256, hashOf(text, sha256Length))
	case "md5":
		setFirst(&r.record.MD5, hashOf(text, md5Length))
	case "url":
		setFirst(&r.record.URL, text)
	case "valid":
		setFirst(&r.record.Valid, text)
	case "analysis_time":
		r.record.AnalysisTime = parseTime(text)
	case "verdict":
		code, err := strconv.ParseInt(text, 10, 32)
		// Two verdicts that differ are none that could be believed.
		r.readable = err == nil && (!r.seen || r.readable && r.record.Verdict == Verdict(code))
		r.record.Verdict, r.seen = Verdict(code), true
	}
}

func setFirst(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func (r *recordReader) done() VerdictRecord {
	r.record.HasVerdict = r.readable
	if !r.readable {
		r.record.Verdict = 0
	}
	return r.record
}

// scanVerdicts reads a list without building a tree of it, which for 500 records takes twenty times as
// long and a megabyte of small objects. It takes nothing but plain elements around plain ASCII text:
// anything else, an attribute or an entity or a comment, makes it return false. FuzzVerdicts compares it
// with the tree.
func scanVerdicts(body []byte, tags int) ([]VerdictRecord, bool) {
	if bytes.Count(body, []byte{'<'}) > tags {
		return nil, false
	}
	s := scanner{rest: body}
	s.declaration()
	if !s.open("wildfire") {
		return nil, false
	}
	var records []VerdictRecord
	for s.open("get-verdict-info") {
		var r recordReader
		for {
			name, text, ok := s.element()
			if !ok {
				break
			}
			r.field(name, text)
		}
		if !s.close("get-verdict-info") {
			return nil, false
		}
		if records == nil {
			records = make([]VerdictRecord, 0, 1+len(body)/minRecord)
		}
		records = append(records, r.done())
	}
	if !s.close("wildfire") {
		return nil, false
	}
	s.space()
	return records, len(s.rest) == 0
}

// minRecord is about what a record with its hashes takes in bytes.
const minRecord = 150

type scanner struct{ rest []byte }

func (s *scanner) space() { s.rest = bytes.TrimLeft(s.rest, " \t\r\n") }

// declaration skips <?xml … ?>. Its encoding does not matter to ASCII, and nothing else is taken.
func (s *scanner) declaration() {
	s.space()
	if !bytes.HasPrefix(s.rest, []byte("<?xml ")) {
		return
	}
	if end := bytes.Index(s.rest, []byte("?>")); end >= 0 && plainText(s.rest[1:end]) {
		s.rest = s.rest[end+2:]
	}
}

func (s *scanner) open(name string) bool { return s.tag("<", name) }

func (s *scanner) close(name string) bool { return s.tag("</", name) }

// tag takes a tag, without attributes, and the space before it.
func (s *scanner) tag(opening, name string) bool {
	s.space()
	n := len(opening) + len(name)
	if len(s.rest) <= n || string(s.rest[:len(opening)]) != opening || string(s.rest[len(opening):n]) != name || s.rest[n] != '>' {
		return false
	}
	s.rest = s.rest[n+1:]
	return true
}

// element takes <name>text</name> and the space before it; it takes nothing where there is something else.
func (s *scanner) element() (name, text string, ok bool) {
	s.space()
	before := s.rest
	if len(s.rest) == 0 || s.rest[0] != '<' {
		return "", "", false
	}
	end := bytes.IndexByte(s.rest, '>')
	if end < 0 || !plainName(s.rest[1:end]) {
		return "", "", false
	}
	name = interned(s.rest[1:end])
	s.rest = s.rest[end+1:]
	next := bytes.IndexByte(s.rest, '<')
	if next < 0 || !plainText(s.rest[:next]) {
		s.rest = before
		return "", "", false
	}
	content := s.rest[:next]
	s.rest = s.rest[next:]
	if !s.tag("</", name) {
		s.rest = before
		return "", "", false
	}
	return name, strings.TrimSpace(string(content)), true
}

// interned saves the allocation for the names that every record has.
func interned(name []byte) string {
	switch string(name) {
	case "sha256":
		return "sha256"
	case "md5":
		return "md5"
	case "verdict":
		return "verdict"
	}
	return string(name)
}

func plainName(name []byte) bool {
	for _, b := range name {
		if !(b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '_') {
			return false
		}
	}
	return len(name) > 0 && name[0] > '9'
}

// plainText is printable ASCII that means the same to every parser of XML.
func plainText(text []byte) bool {
	for _, b := range text {
		if b < ' ' && b != '\n' || b > '~' || b == '&' || b == '<' || b == '>' || b == ']' {
			return false
		}
	}
	return true
}
