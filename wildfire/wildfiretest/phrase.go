package wildfiretest

import "net/http"

// phrases are the service's reason phrases, with its spelling (WildFire API Reference, "Error
// Codes").
var phrases = map[int]string{
	400: "Invalid Syntax",
	401: "Invalid API key",
	403: "Permission Denied",
	404: "Not Found",
	405: "Unsupported Method",
	410: "Sample Gone",
	413: "File Too Large",
	415: "Unsupported Media Type",
	417: "Same Verdict",
	418: "Unsupport File Type",
	419: "Quota Exceeded",
	420: "Insufficient Arguments",
	421: "Invalid Argument",
	422: "Unprocessable Entities",
	429: "Too Many Requests",
	456: "Invalid request",
	500: "Internal Error",
	503: "Network Issue",
	513: "File Uploaded Failed",
}

// Phrase returns the service's reason phrase for a status.
func Phrase(status int) string {
	if phrase, ok := phrases[status]; ok {
		return phrase
	}
	return http.StatusText(status)
}

// messages are the texts of error documents that differ from the reason phrase.
var messages = map[int]string{
	418: "Unsupport File type",
}

// message returns the text of the error document for a status.
func message(status int) string {
	if text, ok := messages[status]; ok {
		return text
	}

	return Phrase(status)
}

// Messages of the service for invalid arguments.
const (
	invalidHash      = "Invalid hash, has to be 32 or 64 bytes 0-9a-fA-F"
	invalidHashValue = "invalid hash value" // of get/verdict
	invalidLink      = "Invalid webpage type url, url should start with http or https"
	invalidDate      = "Invalid Date (longer than 30 days from now or newer than now)"
	tooMany          = "Only 500 entries are allowed for each file"
)
