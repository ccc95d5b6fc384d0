package oauth

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

const redacted = "<secret>"

const maxDesc = 200 // longest text of a server in an error, in bytes

// credentialLike matches text that is always removed: JWTs, and credentials after the name of an
// authentication scheme.
var credentialLike = regexp.MustCompile(`eyJ[A-Za-z0-9_\-.]*|(?i:\b(?:basic|bearer)\s+[A-Za-z0-9+/_=.~\-]+)`)

// Scrubber removes known secrets from a server's message, which may repeat the request. It finds
// each secret in plain, form-encoded, JSON-encoded and Basic-encoded form.
type Scrubber struct{ replacer *strings.Replacer }

// NewScrubber returns a Scrubber for the secrets in a request. The client ID is not secret, but it
// is part of the Basic value.
func NewScrubber(clientID string, secrets ...string) Scrubber {
	var pairs []string
	for _, s := range secrets {
		if s == "" {
			continue
		}

		forms := []string{
			s, url.QueryEscape(s), url.PathEscape(s),
			clientID + ":" + s, url.QueryEscape(clientID) + ":" + url.QueryEscape(s),
		}
		for _, f := range forms {
			for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
				pairs = append(pairs, enc.EncodeToString([]byte(f)), redacted)
			}
		}

		inJSON, _ := json.Marshal(s) // a string always encodes
		for _, f := range append(forms[:3], strings.Trim(string(inJSON), `"`)) {
			pairs = append(pairs, f, redacted)
		}
	}

	return Scrubber{strings.NewReplacer(pairs...)}
}

// Clean returns text without secrets and without anything that looks like credentials. It replaces
// characters that RFC 6749 section 5.2 does not allow in a description, and cuts the text to
// maxDesc bytes.
func (s Scrubber) Clean(text string) string {
	text = s.replacer.Replace(text)
	text = credentialLike.ReplaceAllString(text, redacted)
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r >= 0x20 && r <= 0x7e:
			return r
		default:
			return ' '
		}
	}, text)
	text = strings.Join(strings.Fields(s.replacer.Replace(text)), " ")

	return text[:min(len(text), maxDesc)]
}
