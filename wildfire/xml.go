package wildfire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// Limits on answers. A list of 500 verdicts is about 110 KB and 2,000 elements.
const (
	maxAnswer      = 1 << 20
	maxReport      = 32 << 20
	maxErrorAnswer = 64 << 10
	maxDrain       = 256 << 10
	maxDepth       = 64
	maxTags        = 64 << 10 // start and end tags of an answer
	maxReportTags  = 1 << 20
)

// errTooLong says that an answer was cut off by a limit.
var errTooLong = errors.New("answer longer than allowed")

// readLimited reads all of r, and fails instead of truncating where it is longer than limit.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errTooLong
	}
	return body, err
}

// parseXML returns the root element. It forgives what the service was seen to get wrong, such as
// control characters and bare ampersands from an echoed file name, a wrong or a Latin-1 encoding in
// the declaration, and blank lines in front of it. It refuses a DTD, deep nesting, and more tags
// than an honest answer has: a tree takes many times the memory of its text.
func parseXML(body []byte, tags int) (*etree.Element, error) {
	if bytes.Count(body, []byte{'<'}) > tags {
		return nil, errors.New("too many elements")
	}
	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{Permissive: true, MaxDepth: maxDepth}
	if err := doc.ReadFromBytes(clean(body)); err != nil {
		// The parser's error quotes the document; all that is kept of it is that it did not parse.
		return nil, errors.New("not well-formed XML")
	}
	if hasDirective(&doc.Element) {
		return nil, errors.New("document type declaration refused")
	}
	root := doc.Root()
	if root == nil {
		return nil, errors.New("no XML document")
	}
	return root, nil
}

// hasDirective finds <!DOCTYPE and the like, wherever they are.
func hasDirective(e *etree.Element) bool {
	for _, token := range e.Child {
		switch token := token.(type) {
		case *etree.Directive:
			return true
		case *etree.Element:
			if hasDirective(token) {
				return true
			}
		}
	}
	return false
}

// clean makes a body valid UTF-8 without control characters, both of which stop Go's XML parser.
// Bodies that are clean already, nearly all of them, are returned as they are.
func clean(body []byte) []byte {
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	body = bytes.TrimLeft(body, " \t\r\n")
	if !utf8.Valid(body) {
		body = toUTF8(body)
	}
	for i, b := range body {
		if b < ' ' && b != '\t' && b != '\n' && b != '\r' {
			out := bytes.Clone(body)
			for j := i; j < len(out); j++ {
				if b := out[j]; b < ' ' && b != '\t' && b != '\n' && b != '\r' {
					out[j] = '?'
				}
			}
			return withoutNoncharacters(out)
		}
	}
	return withoutNoncharacters(body)
}

// withoutNoncharacters replaces U+FFFE and U+FFFF, which XML does not allow either.
func withoutNoncharacters(body []byte) []byte {
	if !bytes.Contains(body, []byte("\xef\xbf\xbe")) && !bytes.Contains(body, []byte("\xef\xbf\xbf")) {
		return body
	}
	body = bytes.ReplaceAll(body, []byte("\xef\xbf\xbe"), []byte("?"))
	return bytes.ReplaceAll(body, []byte("\xef\xbf\xbf"), []byte("?"))
}

// toUTF8 decodes Latin-1 where the declaration says so, and otherwise replaces what is not UTF-8.
func toUTF8(body []byte) []byte {
	if !declaresLatin1(body[:min(len(body), 200)]) {
		return bytes.ToValidUTF8(body, []byte("?"))
	}
	out := make([]byte, 0, len(body)+len(body)/8)
	for _, b := range body {
		out = utf8.AppendRune(out, rune(b))
	}
	return out
}

// declaresLatin1 reports whether a declaration at the beginning of a document says Latin-1, or what
// Windows makes of it.
func declaresLatin1(head []byte) bool {
	declaration, _, _ := bytes.Cut(head, []byte("?>"))
	declaration = bytes.ToLower(declaration)

	return bytes.Contains(declaration, []byte("8859-1")) || bytes.Contains(declaration, []byte("1252"))
}

// wildfireRoot parses an answer and asserts its root. An <error> document becomes errorDocument,
// and the <response> document, which stands for "nothing yet", errNoData.
func wildfireRoot(body []byte, tags int) (*etree.Element, error) {
	name := rootOf(body)
	if name == "" {
		return nil, errors.New("not an XML document")
	}
	if !ownRoots[name] {
		return nil, fmt.Errorf("root element %q", printable(name[:min(len(name), 20)]))
	}

	root, err := parseXML(body, tags)
	switch name {
	case "error", "submission": // a refusal, even where its words were cut off
		return nil, errorDocument{message: errorMessage(root)}
	case "response":
		if err == nil {
			err = errNoData
		}
	}

	return root, err
}

var errNoData = errors.New("empty document")

// errorDocument is an <error> root where another was due.
type errorDocument struct{ message string }

func (e errorDocument) Error() string { return "error document" }

// errorMessage finds error/error-message, and submission/error/error-message.
func errorMessage(root *etree.Element) string {
	if root == nil {
		return ""
	}
	if root.Tag == "submission" {
		if root = root.SelectElement("error"); root == nil {
			return ""
		}
	}
	if root.Tag != "error" {
		return ""
	}
	return childText(root, "error-message")
}

// childText is the trimmed text of a child, "" where there is none.
func childText(e *etree.Element, tag string) string {
	child := e.SelectElement(tag)
	if child == nil {
		return ""
	}
	return trimmed(child)
}

// trimmed is the text of an element without the white space around it.
func trimmed(e *etree.Element) string { return strings.TrimSpace(e.Text()) }

const byteOrderMark = "\xef\xbb\xbf"

// ownRoots are the root elements of WildFire's documents.
var ownRoots = map[string]bool{"wildfire": true, "error": true, "submission": true, "response": true}

// rootOf returns the name of the root element of a document that may end anywhere behind its start
// tag. It returns "" where anything but white space, a declaration and comments comes before it.
func rootOf(body []byte) string {
	decoder := xml.NewDecoder(bytes.NewReader(clean(body)))
	decoder.Strict = false
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	for {
		token, err := decoder.RawToken()
		if err != nil {
			return ""
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Space != "" {
				return ""
			}
			return token.Name.Local
		case xml.CharData:
			if len(bytes.TrimSpace(token)) > 0 {
				return ""
			}
		}
	}
}
