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
	"golang.org/x/text/encoding/charmap"
)

// Limits on answers. A list of 500 verdicts is about 110 KB and 2,000 elements.
const (
	maxAnswer      = 1 << 20   // bytes
	maxReport      = 32 << 20  // bytes of a report or a long list
	maxErrorAnswer = 64 << 10  // bytes of an answer with an error status
	maxDrain       = 256 << 10 // bytes read so that a connection can be reused
	maxDepth       = 64        // nested elements
	maxDeclaration = 200       // bytes in which an XML declaration must end
	maxTags        = 64 << 10  // start and end tags
	maxReportTags  = 1 << 20   // tags of a report or a long list
)

// errTooLong says that an answer exceeded a limit.
var errTooLong = errors.New("answer longer than allowed")

// readLimited reads all of r, and returns errTooLong if r has more than limit bytes.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errTooLong
	}
	return body, err
}

// parseXML returns the root element. It tolerates known faults of the service: control characters
// and bare ampersands in a copied file name, a declaration of the wrong encoding or of Latin-1, and
// blank lines before the declaration. It refuses a DTD, deep nesting and more tags than a real
// answer has, because the parsed document takes many times the memory of its text.
func parseXML(body []byte, tags int) (*etree.Element, error) {
	if bytes.Count(body, []byte{'<'}) > tags {
		return nil, errors.New("too many elements")
	}

	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{Permissive: true, MaxDepth: maxDepth}
	if err := doc.ReadFromBytes(clean(body)); err != nil {
		// The parser's error quotes the document, so it is not kept.
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

// hasDirective reports whether there is a <!DOCTYPE or a similar directive anywhere.
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

// clean converts a body to valid UTF-8 without the characters that XML does not allow, because Go's
// XML parser accepts nothing else. Nearly all bodies are valid already, and are returned without a
// copy.
func clean(body []byte) []byte {
	body = bytes.TrimLeft(bytes.TrimPrefix(body, []byte(byteOrderMark)), " \t\r\n")
	if declaresLatin1(body[:min(len(body), maxDeclaration)]) && !utf8.Valid(body) {
		body, _ = latin1.NewDecoder().Bytes(body) // never fails
	}
	if bytes.IndexFunc(body, func(r rune) bool { return xmlRune(r) != r }) < 0 {
		return body
	}

	return bytes.Map(xmlRune, body)
}

// xmlRune replaces bytes that are not UTF-8, and characters that XML does not allow (XML 1.0,
// section 2.2).
func xmlRune(r rune) rune {
	switch {
	case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0xFFFE, r == 0xFFFF, r == utf8.RuneError:
		return '?'
	}

	return r
}

// latin1 decodes Latin-1 and Windows-1252, which has further characters.
var latin1 = charmap.Windows1252

// declaresLatin1 reports whether the XML declaration names Latin-1 or Windows-1252 as the encoding.
func declaresLatin1(head []byte) bool {
	declaration, _, _ := bytes.Cut(head, []byte("?>"))
	declaration = bytes.ToLower(declaration)

	return bytes.Contains(declaration, []byte("8859-1")) || bytes.Contains(declaration, []byte("1252"))
}

// wildfireRoot parses an answer and returns its root element. For an <error> or <submission>
// document it returns an errorDocument as the error. For a <response> document, which means that
// WildFire has no data yet, it returns errNoData.
func wildfireRoot(body []byte, tags int) (*etree.Element, error) {
	name := rootOf(body)
	if name == "" {
		return nil, errors.New("not an XML document")
	}
	if !wildfireRoots[name] {
		return nil, fmt.Errorf("root element %q", printable(name[:min(len(name), 20)]))
	}

	root, err := parseXML(body, tags)
	switch name {
	case "error", "submission": // an error document, even if its text was cut off
		return nil, errorDocument{message: errorMessage(root)}
	case "response":
		if err == nil {
			err = errNoData
		}
	}

	return root, err
}

var errNoData = errors.New("empty document")

// errorDocument is the error if WildFire sent an error document instead of the expected one.
type errorDocument struct{ message string }

func (e errorDocument) Error() string { return "error document" }

// errorMessage returns the text of error/error-message or submission/error/error-message, or "".
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

// childText returns the trimmed text of a child, or "".
func childText(e *etree.Element, tag string) string {
	child := e.SelectElement(tag)
	if child == nil {
		return ""
	}
	return trimmed(child)
}

// trimmed returns the text of an element without surrounding white space.
func trimmed(e *etree.Element) string { return strings.TrimSpace(e.Text()) }

const byteOrderMark = "\xef\xbb\xbf"

// wildfireRoots are the root elements of WildFire's documents.
var wildfireRoots = map[string]bool{"wildfire": true, "error": true, "submission": true, "response": true}

// rootOf returns the name of the root element. The document may be truncated after its start tag.
// It returns "" if text precedes the element, or if the name has a namespace prefix.
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

// parseRecords reads the records of an answer: the children of the root with the given name. It
// calls set for each child element of a record, in order, with the element's name and trimmed text.
func parseRecords[T any](body []byte, tags int, name string, set func(record *T, field, text string)) ([]T, error) {
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

// setFirst sets a field unless it is set already. If an element is repeated, the first one counts.
func setFirst(field *string, value string) {
	if *field == "" {
		*field = value
	}
}
