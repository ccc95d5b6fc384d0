package wildfire

import (
	"bytes"
	"encoding/json"
	"html"
	"mime"
	"net/http"
	"regexp"
	"strings"
)

// maxTitle is the greatest length of ForeignAnswer.Title, in bytes.
const maxTitle = 80

// describeForeign describes an answer. body is the part of it that was read.
func describeForeign(response *http.Response, body []byte, credential string) *ForeignAnswer {
	if isBlank(body) {
		return &ForeignAnswer{}
	}

	media := mediaType(response)
	if media == "" {
		media, _, _ = strings.Cut(http.DetectContentType(body), ";")
	}

	return &ForeignAnswer{ContentType: printable(media), Title: pageTitle(body, credential)}
}

func isBlank(body []byte) bool { return len(bytes.TrimSpace(body)) == 0 }

var titleElement = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title`)

// pageTitle returns the title of an HTML page, or "".
func pageTitle(body []byte, credential string) string {
	found := titleElement.FindSubmatch(body)
	if found == nil {
		return ""
	}

	text := sanitizeMessage(html.UnescapeString(string(found[1])), credential)

	return strings.TrimRight(text[:min(len(text), maxTitle)], " ")
}

// describeIfForeign describes an answer with an error status if something other than WildFire seems
// to have sent it. Otherwise it returns nil. WildFire sometimes answers without a body, so an empty
// answer counts as WildFire's if its status is documented.
func describeIfForeign(response *http.Response, body []byte, credential string) *ForeignAnswer {
	if isWildFireXML(body) || isBlank(body) && documentedStatuses[response.StatusCode] != nil {
		return nil
	}

	return describeForeign(response, body, credential)
}

// isWildFireXML reports whether a body is a WildFire document in XML, even if it is truncated.
func isWildFireXML(body []byte) bool { return wildfireRoots[rootOf(body)] }

// isWildFireDocument reports whether a body is a WildFire document in XML or JSON.
func isWildFireDocument(body []byte) bool { return isWildFireXML(body) || isWildFireJSON(body) }

// isWildFireJSON reports whether a body is a JSON answer of WildFire's: an object with a "result".
func isWildFireJSON(body []byte) bool {
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) != nil {
		return false
	}
	_, ok := answer["result"]

	return ok
}

// looksLikeText reports whether the first bytes of an answer look like text, or there are none.
// Pages, JSON and messages look like text; captures, archives and reports in PDF do not.
func looksLikeText(head []byte) bool {
	return isBlank(head) || strings.HasPrefix(http.DetectContentType(head), "text/")
}

func mediaType(response *http.Response) string {
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}
