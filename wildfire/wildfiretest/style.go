package wildfiretest

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Style varies the format of answers. The zero value is the vendor's usual format: an XML
// declaration, four spaces of indentation, text/xml. Styles can be combined with |.
type Style uint64

// The styles. Each is a variation that the service or a proxy was observed to produce, or might
// produce.
const (
	OneLine           Style = 1 << iota // no line breaks and no indentation
	NoDeclaration                       // no <?xml ?>
	SpacedDeclaration                   // a space before ?>
	LeadingBlankLines                   // blank lines before the declaration
	Reordered                           // children in reverse order
	SelfClosedURL                       // <url/> instead of <url></url>
	MissingURL                          // no url element
	MissingFilename                     // no filename element
	MissingSHA256                       // no sha256 element
	MissingMD5                          // no md5 element
	WrongSHA256                         // the SHA-256 of other contents
	UpperCaseHashes                     // hexadecimal in upper case
	RawFilename                         // the file name unescaped, and a bare & before it
	ControlCharacter                    // a control character in the file name
	InvalidUTF8                         // bytes in the file name that are not UTF-8
	Latin1Declared                      // encoding="ISO-8859-1", and a byte to match
	UnknownEncoding                     // encoding="utf8"
	Truncated                           // the body is cut in the middle
	TrailingGarbage                     // text after the document
	NoContentType                       // no Content-Type header
	ApplicationXML                      // application/xml; charset=utf-8 instead of text/xml
	HTML200                             // status 200 with an HTML page
	Error200                            // status 200 with an <error> document
	Empty200                            // status 200 without a body
	UnknownCode                         // verdict 99
	SpacedVerdict                       // spaces around the verdict
	MissingVerdict                      // no verdict element
	EmptyVerdict                        // an empty verdict element
	TextVerdict                         // a verdict that is not a number
	ManyForMD5                          // two records for an MD5 in get/verdict
	Shuffled                            // get/verdicts in another order
	MissingRecords                      // get/verdicts leaves out every other record
	WithDTD                             // a document type declaration with entities
	Chunked                             // Transfer-Encoding: chunked
	ResponseRoot                        // a report that is not ready is 200 with <response> instead of 404
	ReportObject                        // a URL's report as a JSON object instead of a string
)

// has reports whether any of the given styles is set.
func (s Style) has(styles Style) bool { return s&styles != 0 }

// element is an XML element with text or children.
type element struct {
	name     string
	text     string
	attrs    string // rendered, with a leading space
	children []element
}

// document renders a root element in a style.
func document(root element, style Style) []byte {
	var out bytes.Buffer
	if style.has(LeadingBlankLines) {
		out.WriteString("\n\n  \n")
	}

	encoding := "UTF-8"
	switch {
	case style.has(Latin1Declared):
		encoding = "ISO-8859-1"
	case style.has(UnknownEncoding):
		encoding = "utf8"
	}

	if !style.has(NoDeclaration) {
		out.WriteString(`<?xml version="1.0" encoding="` + encoding + `"`)
		if style.has(SpacedDeclaration) {
			out.WriteByte(' ')
		}

		out.WriteString("?>")
		newline(&out, style, 0)
	}

	if style.has(WithDTD) {
		out.WriteString("<!DOCTYPE " + root.name + ` [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]>`)
		newline(&out, style, 0)
	}

	root.write(&out, style, 0)
	newline(&out, style, 0)
	if style.has(TrailingGarbage) {
		out.WriteString("\n<!-- served by node 7 -->\nok\n")
	}

	rendered := out.Bytes()
	if style.has(Truncated) {
		rendered = rendered[:len(rendered)/2]
	}

	return rendered
}

// write renders the element and its children.
func (e element) write(out *bytes.Buffer, style Style, depth int) {
	out.WriteString("<" + e.name + e.attrs)
	switch {
	case e.name == "url" && e.text == "" && len(e.children) == 0 && style.has(SelfClosedURL):
		out.WriteString("/>")
		return
	case len(e.children) == 0:
		out.WriteByte('>')
		out.WriteString(e.escaped(style))
	default:
		out.WriteByte('>')
		for i := range e.children {
			child := e.children[i]
			if style.has(Reordered) {
				child = e.children[len(e.children)-1-i]
			}

			newline(out, style, depth+1)
			child.write(out, style, depth+1)
		}

		newline(out, style, depth)
	}

	out.WriteString("</" + e.name + ">")
}

var xmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// escaped returns the element's text as XML, with the faults of the style in a file name.
func (e element) escaped(style Style) string {
	text := xmlEscaper.Replace(strings.Map(xmlRune, e.text))
	if e.name != "filename" {
		return text
	}

	switch {
	case style.has(RawFilename):
		return "R&D " + e.text
	case style.has(ControlCharacter):
		return text + "\x01\x1b"
	case style.has(InvalidUTF8), style.has(Latin1Declared):
		return text + "\xe9"
	}

	return text
}

// xmlRune replaces characters that XML does not allow (XML 1.0, section 2.2), such as a NUL in a
// link.
func xmlRune(r rune) rune {
	switch {
	case r == '\t', r == '\n', r == '\r', r >= ' ' && r != 0xFFFE && r != 0xFFFF && r != utf8.RuneError:
		return r
	}

	return '?'
}

// newline begins a new line with the indentation of a depth, unless the style has one line.
func newline(out *bytes.Buffer, style Style, depth int) {
	if style.has(OneLine) {
		return
	}
	out.WriteByte('\n')
	for range depth {
		out.WriteString("    ")
	}
}

// inStyle returns the element without the children that the style omits, and with the values that
// it changes.
func (e element) inStyle(style Style) element {
	var kept []element
	for _, child := range e.children {
		switch {
		case child.name == "url" && style.has(MissingURL),
			child.name == "filename" && style.has(MissingFilename),
			child.name == "sha256" && style.has(MissingSHA256),
			child.name == "md5" && style.has(MissingMD5),
			child.name == "verdict" && style.has(MissingVerdict):
			continue
		}

		if style.has(UpperCaseHashes) && (child.name == "sha256" || child.name == "md5") {
			child.text = strings.ToUpper(child.text)
		}
		if child.name == "sha256" && style.has(WrongSHA256) && child.text != "" {
			child.text = wrongHash(child.text)
		}
		if child.name == "verdict" {
			child.text = spellVerdict(child.text, style)
		}

		kept = append(kept, child)
	}

	e.children = kept

	return e
}

// spellVerdict returns the text of a verdict element in a style.
func spellVerdict(code string, style Style) string {
	switch {
	case style.has(UnknownCode):
		return "99"
	case style.has(EmptyVerdict):
		return ""
	case style.has(TextVerdict):
		return "unknown"
	case style.has(SpacedVerdict):
		return "  " + code + " "
	}

	return code
}

// wrongHash returns a different hash of the same form.
func wrongHash(hash string) string {
	if hash[0] == '0' {
		return "1" + hash[1:]
	}
	return "0" + hash[1:]
}

// errorDocument returns the vendor's error body, which has literal quotes around the message.
func errorDocument(message string, style Style) []byte {
	return document(element{name: "error", children: []element{{name: "error-message", text: "'" + message + "'"}}},
		style&(OneLine|NoDeclaration|SpacedDeclaration|LeadingBlankLines))
}
