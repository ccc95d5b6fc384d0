package wildfire

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
)

// readReport reads a report as a stream of elements, to the end of its root. A parsed tree would
// take many times the report's size. Most of the report, such as the timeline of system calls, is
// not used.
func readReport(r io.Reader) (Report, error) {
	decoder := xml.NewDecoder(&tagLimiter{r: cleanReader(&cappedReader{r: r, left: maxReport})})
	decoder.Strict = false
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }

	reader := reportReader{seen: make(map[string]struct{}), bytes: make(map[string]int)}
	for elements := 0; !reader.done; {
		token, err := decoder.Token()
		if err != nil {
			return Report{}, reader.readError(err)
		}

		switch token := token.(type) {
		case xml.StartElement:
			elements++
			err = reader.start(token)
			if elements > maxReportTags {
				err = errors.New("too many elements")
			}
		case xml.CharData:
			err = reader.chars(token)
		case xml.EndElement:
			reader.end()
		case xml.Directive:
			err = errors.New("document type declaration refused")
		}

		if err != nil {
			return Report{}, err
		}
	}

	return reader.finish()
}

// cappedReader returns errTooLong if r has more than left bytes.
type cappedReader struct {
	r    io.Reader
	left int64
}

func (c *cappedReader) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), c.left+1)]
	n, err := c.r.Read(p)
	if int64(n) > c.left {
		return int(c.left), errTooLong
	}
	c.left -= int64(n)

	return n, err
}

// cleanReader does for a stream what the function clean does for a body. But it decodes Latin-1
// wherever it is declared: it cannot tell before the end whether the document is valid UTF-8.
func cleanReader(r io.Reader) io.Reader {
	buffered := bufio.NewReader(r)
	if mark, _ := buffered.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		_, _ = buffered.Discard(len(byteOrderMark))
	}

	head, _ := buffered.Peek(maxDeclaration)
	var decode transform.Transformer = runes.ReplaceIllFormed()
	if declaresLatin1(head) {
		decode = latin1.NewDecoder()
	}

	return transform.NewReader(buffered, transform.Chain(decode, runes.Map(xmlRune)))
}

// tagLimiter returns an error if a tag is longer than maxTag. A ">" in quotes does not end a tag,
// because an attribute may contain it. A "<" always begins a tag, because an attribute must not
// contain it.
type tagLimiter struct {
	r     io.Reader
	inTag bool
	quote byte // the open quote in the tag; 0: none
	size  int  // of the tag so far, in bytes
}

func (l *tagLimiter) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for _, b := range p[:n] {
		switch {
		case b == '<':
			l.inTag = true
			l.quote, l.size = 0, 0
		case !l.inTag:
		case l.quote != 0:
			if b == l.quote {
				l.quote = 0
			}
		case b == '"' || b == '\'':
			l.quote = b
		case b == '>':
			l.inTag = false
		}

		if l.inTag {
			l.size++
		}
		if l.size > maxTag {
			return 0, errors.New("element too long")
		}
	}

	return n, err
}

// start handles a start tag. It adds the element to the frames, and reads data from its attributes.
func (r *reportReader) start(element xml.StartElement) error {
	name := strings.ToLower(element.Name.Local)
	if len(r.frames) == 0 {
		if element.Name.Space != "" || !wildfireRoots[element.Name.Local] {
			return fmt.Errorf("root element %q", printable(name[:min(len(name), 20)]))
		}

		r.root = name
	}

	if len(r.frames) == maxDepth {
		return errors.New("nested too deeply")
	}

	r.text = r.text[:0]
	r.frames = append(r.frames, frame{name: name, attrs: element.Attr})
	if path := r.path(); path != "" {
		r.readAttributes(path, r.frames[len(r.frames)-1])
	}

	return nil
}

// chars handles text. It adds the text to that of the innermost element. Before the root, only
// white space is allowed.
func (r *reportReader) chars(text xml.CharData) error {
	if len(r.frames) == 0 {
		if len(bytes.TrimSpace(text)) > 0 {
			return errors.New("not an XML document")
		}
		return nil
	}

	if room := 2*MaxReportText - len(r.text); room > 0 {
		r.text = append(r.text, text[:min(len(text), room)]...)
	}

	return nil
}

// end handles an end tag. It reads data from the text of the innermost element, and removes the
// element from the frames.
func (r *reportReader) end() {
	if path := r.path(); path != "" {
		r.readText(path, r.frames[len(r.frames)-1], string(r.text))
	}

	r.text = r.text[:0]
	r.frames = r.frames[:len(r.frames)-1]
	r.done = len(r.frames) == 0
}

// finish returns the report, or an error if the document is not a report.
func (r *reportReader) finish() (Report, error) {
	switch {
	case r.isErrorDocument():
		return Report{}, errorDocument{message: r.message}
	case !r.hasFile:
		return Report{}, errNoData
	}

	return r.report, nil
}

// isErrorDocument reports whether the document is an error document.
func (r *reportReader) isErrorDocument() bool { return r.root == "error" || r.root == "submission" }

// readError returns why reading ended early. It replaces the parser's error, which quotes the
// document.
func (r *reportReader) readError(err error) error {
	_, malformed := errors.AsType[*xml.SyntaxError](err)
	switch {
	case r.isErrorDocument() && (malformed || errors.Is(err, io.EOF)):
		return errorDocument{message: r.message} // an error document whose text was cut off
	case malformed, errors.Is(err, io.EOF):
		return errors.New("not well-formed XML")
	}

	return err
}

// path returns the names of the elements from below the root to the innermost one, separated by
// slashes. Within the report of an environment, the path is shorter: "report/" stands for
// "task_info/report/". If the element is nested more deeply than any data, path returns "".
func (r *reportReader) path() string {
	depth := len(r.frames)
	below, path := r.frames[1:], ""
	if depth > 3 && r.frames[1].name == "task_info" && r.frames[2].name == "report" {
		below, path = r.frames[3:], "report/"
		if below[0].name == "process_tree" && r.frames[depth-1].name == "process" {
			return "report/process_tree/process" // at any depth, because processes contain their children
		}
	}

	if len(below) > 4 {
		return ""
	}

	for i, f := range below {
		if i > 0 {
			path += "/"
		}

		path += f.name
	}

	return path
}

// readAttributes reads an element whose data is only in attributes. path says which element it is.
func (r *reportReader) readAttributes(path string, f frame) {
	switch path {
	case "file_info":
		r.hasFile = true
	case "task_info/report":
		r.platform = Platform{}
	case "report/network/tcp", "report/network/udp":
		r.addConnection(f)
	case "report/network/dns":
		r.addDomain(f.attr("query"))
		r.addIP(f.attr("response"))
	case "report/network/url":
		r.addRequest(f)
	case "report/process_list/process", "report/process_list/process/child/process":
		r.addProcess(f.attr("name"), f.attr("command"), f.attr("pid"))
	case "report/process_list/process/process_activity/create":
		r.addProcess(f.attr("child_process_image"), f.attr("command"), f.attr("child_pid"))
	case "report/process_tree/process":
		r.addProcess(f.attr("name"), f.attr("text"), f.attr("pid"))
	case "report/process_list/process/file/create", "report/process_list/process/file/write", "report/process_list/process/file/copy":
		r.addWrittenFile(f, f.attr("name"))
	case "report/file/file_written":
		r.addWrittenFile(f, f.attr("written_file"))
	case "report/process_list/process/registry/create", "report/process_list/process/registry/set":
		r.addRegistryKey(f)
	case "report/process_list/process/mutex/createmutex":
		if name := r.clean(f.attr("name")); name != "<NULL>" {
			r.addText("mutex", &r.report.Mutexes, name)
		}
	}
}

// readText reads an element that has data in its text. path says which element it is.
func (r *reportReader) readText(path string, f frame, text string) {
	report := &r.report
	switch path {
	case "error-message", "error/error-message":
		r.message = text
	case "file_info/malware":
		setFirst(&report.Malware, r.clean(text))
	case "file_info/filetype":
		setFirst(&report.Filetype, r.clean(text))
	case "file_info/file_signer":
		if signer := r.clean(text); signer != "None" {
			setFirst(&report.Signer, signer)
		}
	case "file_info/size":
		report.Size = parseSize(text)
	case "file_info/sha256":
		setFirst(&report.SHA256, parseDigest(text, sha256Length))
	case "file_info/sha1":
		setFirst(&report.SHA1, parseDigest(text, sha1Length))
	case "file_info/md5":
		setFirst(&report.MD5, parseDigest(text, md5Length))

	case "report/platform":
		r.platform.ID = r.clean(text)
	case "report/software":
		r.platform.Name = r.clean(text)
	case "report/malware":
		r.platform.Malware = r.clean(text)
	case "task_info/report":
		r.addPlatform()

	case "report/summary/entry":
		r.addBehavior(f.attr("id"), text, f.attr("details"), f.attr("behavior"), f.attr("score"))
	case "report/elf_info/suspicious/entry":
		r.addBehavior(f.attr("behavior_id"), f.attr("description"), text, f.attr("family"), "")
	case "report/evidence/file/entry":
		r.addDroppedFile(f, text)
	case "report/extracted_urls/entry":
		r.addLink(f, text)
	case "report/elf_info/domains/entry":
		r.addDomain(text)
	case "report/elf_info/ip_addresses/entry":
		r.addIP(text)
	case "report/elf_info/urls/entry":
		r.addURL(text)
	}
}
