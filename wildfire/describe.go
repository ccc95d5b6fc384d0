package wildfire

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"time"
)

const (
	maxMessage = 200 // bytes of APIError.Message

	// MaxRetryAfter is the largest value of APIError.RetryAfter. If the service asks for more, the
	// value is reduced to this.
	MaxRetryAfter = 24 * time.Hour
)

// describe returns the text of an error of the transport. If the answer was not HTTP, net/http's
// error contains a part of it in quotes; describe removes that part.
func describe(err error) string {
	if opError, ok := errors.AsType[*net.OpError](err); ok {
		return printable(opError.Error())
	}
	text, _, _ := strings.Cut(err.Error(), "\"")
	if before, _, found := strings.Cut(text, "malformed"); found {
		text = before + "malformed answer"
	}

	return printable(text)
}

var urlPattern = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s'"<>]+`)

// sanitizeMessage makes a message of the service safe for an error: one line of printable ASCII,
// without surrounding quotes and without the credential. It also removes URLs, which may contain
// credentials.
func sanitizeMessage(message, credential string) string {
	message = oneLine(message)
	if credential != "" {
		message = strings.ReplaceAll(message, oneLine(credential), "[credential]")
	}
	message = urlPattern.ReplaceAllString(message, "[url]")

	return truncate(strings.Trim(message, " '\""))
}

// printable reduces text to at most maxMessage bytes of printable ASCII on one line.
func printable(text string) string { return truncate(oneLine(text)) }

// truncate cuts a text to maxMessage bytes.
func truncate(text string) string { return strings.TrimRight(text[:min(len(text), maxMessage)], " ") }

// oneLine reduces text to printable ASCII, with single spaces in place of white space.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.Join(strings.Fields(text), " "))
}
