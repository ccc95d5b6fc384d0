package auth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"backburn/auth"
)

// FuzzTokenAnswer feeds arbitrary answers of a token endpoint. The result is a token that is valid
// in a header, or an *AuthError without the secret.
func FuzzTokenAnswer(f *testing.F) {
	f.Add(200, "application/json", "", `{"access_token":"a","token_type":"bearer","expires_in":900}`)
	f.Add(200, "text/plain", "", `{"access_token":"a.b.c","expires_in":"1e999"}`)
	f.Add(200, "application/x-www-form-urlencoded", "", `access_token=a&expires_in=x`)
	f.Add(400, "application/json", "", `{"error":{"code":1},"message":"canary-secret-0b7e"}`)
	f.Add(429, "", "99999999999999999999", ``)
	f.Add(200, "application/json", "", `{"access_token":"`+jwtSample+`","expires_in":-1}`)
	f.Fuzz(func(t *testing.T, status int, contentType, retryAfter, body string) {
		e := newImmediate()
		e.answer = func(int, tokenRequest) (*http.Response, error) {
			return reply(status, body, "Content-Type", contentType, "Retry-After", retryAfter), nil
		}
		s := open(t, wildfireProfile(), auth.WithTransport(e))
		got, err := s.Token(t.Context())
		if err == nil {
			if got == "" || strings.ContainsFunc(got, func(r rune) bool { return r <= 0x20 || r >= 0x7f }) {
				t.Errorf("a token that a header cannot contain: %q", got)
			}

			return
		}

		var ae *auth.AuthError
		if !errors.As(err, &ae) || ae.RetryAfter <= 0 || len(ae.Desc) > 200 {
			t.Errorf("got %#v", err)
		}
		if strings.Contains(err.Error(), "canary-secret-0b7e") {
			t.Errorf("the secret shows: %v", err)
		}
	})
}

const jwtSample = "eyJhbGciOiJub25lIn0.eyJpYXQiOjFlMzA4LCJleHAiOi0xZTMwOH0.x"
