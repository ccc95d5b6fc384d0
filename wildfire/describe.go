package wildfire

import (
	"context"
	"errors"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
)

const (
	maxMessage = 200

	// MaxRetryAfter is the longest wait that APIError.RetryAfter asks for; a longer one is cut down to it.
	MaxRetryAfter = 24 * time.Hour
)

// describe gives the text of a cause without the URL that net/http puts in front and without the piece of
// the answer that it quotes when the answer is not HTTP.
func describe(err error) string {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return printable(network.Error())
	}
	text := err.Error()
	if strings.Contains(text, "malformed") {
		text, _, _ = strings.Cut(text, "\"")
	}
	return printable(text)
}

// cause strips the *url.Error, whose text holds the URL, from what http.Client returned.
func cause(ctx context.Context, err error) error {
	if reason := context.Cause(ctx); reason != nil && errors.Is(reason, ErrStalled) {
		return reason
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

var urls = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s'"<>]+`)

// tidy makes a message of the service fit for an error: one line of printable ASCII, without the literal
// quotes around it, without URLs, which may carry credentials of their own, and without the credential.
func tidy(message, credential string) string {
	if credential != "" {
		message = strings.ReplaceAll(message, credential, "[credential]")
	}
	message = urls.ReplaceAllString(message, "[url]")
	message = strings.Trim(printable(message), " '\"")
	return message
}

// printable reduces text to printable ASCII, collapses white space, and cuts it at maxMessage bytes.
func printable(text string) string {
	var out strings.Builder
	gap := false
	for _, r := range text {
		if out.Len() >= maxMessage {
			break
		}
		switch {
		case unicode.IsSpace(r):
			gap = out.Len() > 0
			continue
		case r < ' ' || r > '~':
			r = '?'
		}
		if gap {
			out.WriteByte(' ')
			gap = false
		}
		out.WriteRune(r)
	}
	return out.String()[:min(out.Len(), maxMessage)]
}
