package wildfire

import (
	"bytes"
	"strings"

	"github.com/beevik/etree"
)

// parseRecords reads the records of an answer, the children of its root with the given name: by scanning
// where the answer is as plain as the service writes it, and by building a tree where it is anything else.
// The function is given the fields of a record in their order, their text without the space around it.
func parseRecords[T any](body []byte, tags int, name string, set func(record *T, field, text string)) ([]T, error) {
	if records, ok := scanRecords(body, tags, name, set); ok {
		return records, nil
	}
	return treeRecords(body, tags, name, set)
}

// treeRecords is the authority on what an answer means.
func treeRecords[T any](body []byte, tags int, name string, set func(record *T, field, text string)) ([]T, error) {
	root, err := wildfireRoot(body, tags)
	if err != nil {
		return nil, err
	}
	var records []T
	for _, element := range root.SelectElements(name) {
		var record T
		for _, token := range element.Child {
			if child, ok := token.(*etree.Element); ok {
				set(&record, child.Tag, trimmed(child))
			}
		}
		records = append(records, record)
	}
	return records, nil
}

// setFirst sets a field that is not set yet: of an element that comes twice, the first counts.
func setFirst(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// scanRecords reads records without building a tree of them, which for 500 verdicts takes ten times as long
// and a megabyte of small objects. It takes nothing but plain elements around plain ASCII text: anything
// else, an attribute or an entity or a comment, makes it return false. Fuzzing compares it with the tree.
func scanRecords[T any](body []byte, tags int, name string, set func(record *T, field, text string)) ([]T, bool) {
	if bytes.Count(body, []byte{'<'}) > tags {
		return nil, false
	}
	s := scanner{rest: body}
	s.declaration()
	if !s.open("wildfire") {
		return nil, false
	}
	var records []T
	for s.open(name) {
		var record T
		for {
			field, text, ok := s.element()
			if !ok {
				break
			}
			set(&record, field, text)
		}
		if !s.close(name) {
			return nil, false
		}
		if records == nil {
			records = make([]T, 0, 1+len(body)/minRecord)
		}
		records = append(records, record)
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
