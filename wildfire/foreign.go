package wildfire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"mime"
	"net/http"
	"regexp"
	"strings"
)

// ForeignAnswer describes an answer that is not in WildFire's form: that of a captive portal, a
// proxy, a web filter, or a virus scanner on the way. It holds nothing of the answer's body but the
// title of a page.
type ForeignAnswer struct {
	// ContentType is the answer's media type: as it was announced, or else as its first bytes look.
	// Empty where the answer had no body.
	ContentType string

	// Title is that of an HTML page, made fit for an error as APIError.Message is: at most 80 bytes
	// of printable ASCII. Empty where there is none.
	Title string
}

// maxTitle is the length of ForeignAnswer.Title, in bytes.
const maxTitle = 80

// String describes the answer in a few words.
func (f *ForeignAnswer) String() string {
	switch {
	case f.ContentType == "":
		return "without a body"
	case f.Title == "":
		return f.ContentType
	}
	return fmt.Sprintf("%s %q", f.ContentType, f.Title)
}

// describeForeign makes the description of an answer; body is as much of it as was read.
func describeForeign(response *http.Response, body []byte, credential string) *ForeignAnswer {
	if blank(body) {
		return &ForeignAnswer{}
	}

	media := mediaType(response)
	if media == "" {
		media, _, _ = strings.Cut(http.DetectContentType(body), ";")
	}

	return &ForeignAnswer{ContentType: printable(media), Title: title(body, credential)}
}

func blank(body []byte) bool { return len(bytes.TrimSpace(body)) == 0 }

var titleElement = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title`)

// title finds the title of an HTML page, "" where there is none.
func title(body []byte, credential string) string {
	found := titleElement.FindSubmatch(body)
	if found == nil {
		return ""
	}

	text := tidy(html.UnescapeString(string(found[1])), credential)

	return strings.TrimRight(text[:min(len(text), maxTitle)], " ")
}

// foreignStatus describes the answer to a call that failed, where something else than WildFire
// seems to have given it; nil otherwise. The service itself was seen to answer without a body, so
// that an empty answer is taken for its own where it documents the status.
func foreignStatus(response *http.Response, body []byte, credential string) *ForeignAnswer {
	if ownXML(body) || blank(body) && documented[response.StatusCode] {
		return nil
	}

	return describeForeign(response, body, credential)
}

// documented are the statuses that WildFire says it gives (WildFire API Reference, "Error Codes").
var documented = map[int]bool{
	400: true, 401: true, 403: true, 404: true, 405: true, 409: true, 410: true, 413: true, 415: true,
	417: true, 418: true, 419: true, 420: true, 421: true, 422: true, 429: true, 456: true,
	500: true, 503: true, 513: true,
}

// ownXML reports whether a body is a document of WildFire's, even one that is cut short.
func ownXML(body []byte) bool { return ownRoots[rootOf(body)] }

// ownDocument reports whether a body is one of WildFire's documents in XML or JSON.
func ownDocument(body []byte) bool { return ownXML(body) || ownJSON(body) }

// ownJSON reports whether a body is a JSON answer of WildFire's: an object with a "result".
func ownJSON(body []byte) bool {
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) != nil {
		return false
	}
	_, ok := answer["result"]

	return ok
}

// textual reports whether a file looks like text by its first bytes: so do the pages, the JSON and
// the words that come in place of a file, and so does none of the captures, archives and reports in
// PDF that WildFire sends. Nothing at all is no file either.
func textual(head []byte) bool {
	return blank(head) || strings.HasPrefix(http.DetectContentType(head), "text/")
}

func mediaType(response *http.Response) string {
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}
