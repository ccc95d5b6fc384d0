package api_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"backburn/internal/testkit"
)

// A client that sends half a body gets an answer, and the connection is closed: no resources stay
// allocated.
func TestHalfSentBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const length, chunked = "Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"
	for name, tc := range map[string]struct{ request, header, body, want string }{
		"no token":             {"POST /v1/submit?filename=a", length, "x", " 401 "},
		"no token, in chunks":  {"POST /v1/submit?filename=a", chunked, "ff\r\nx", " 401 "},
		"nowhere":              {"POST /nowhere", length, "x", " 401 "},
		"a body of a GET":      {"GET /v1/events", length, "x", " 401 "},
		"another name":         {"POST /v1/submit?filename=a", "Host: evil.example\r\n" + length, "x", " 4"},
		"wrong":                {"POST /v1/submit?file=a", "Authorization: Bearer " + token + "\r\n" + length, "x", " 400 "},
		"encoded":              {"POST /v1/submit?filename=a", "Content-Encoding: gzip\r\nAuthorization: Bearer " + token + "\r\n" + length, "x", " 415 "},
		"too large":            {"POST /v1/submit?filename=a", "Authorization: Bearer " + token + "\r\nContent-Length: 99999999999\r\n", "x", " 413 "},
		"chunk of no size":     {"POST /v1/submit?filename=a", "Authorization: Bearer " + token + "\r\n" + chunked, "zz\r\nx\r\n", " 400 "},
		"chunk of a huge size": {"POST /v1/submit?filename=a", "Authorization: Bearer " + token + "\r\n" + chunked, "fffffffffffffffff\r\nx\r\n", " 400 "},
		"two lengths":          {"POST /v1/submit?filename=a", "Content-Length: 1\r\nContent-Length: 2\r\n", "x", " 400 "},
	} {
		t.Run(name, func(t *testing.T) {
			unfinished := s.send(t, "POST /v1/submit?filename=a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+token+"\r\n"+length+"\r\nx")
			host := "Host: localhost\r\n"
			if strings.HasPrefix(tc.header, "Host:") {
				host = ""
			}

			c := s.send(t, tc.request+" HTTP/1.1\r\n"+host+tc.header+"\r\n"+tc.body)
			if err := c.SetReadDeadline(time.Now().Add(testkit.Patience)); err != nil {
				t.Fatal(err)
			}

			answer, err := io.ReadAll(c) // until it is closed
			if line, _, _ := strings.Cut(string(answer), "\r\n"); !strings.Contains(line, tc.want) {
				t.Errorf("got %q (%v), want%s", line, err, tc.want)
			}

			// While the server waits for a body, the connection stays open until the listener's
			// deadline.
			_ = unfinished.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := unfinished.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection stayed open as long as one whose body is awaited, which ended with %v", err)
			}
		})
	}
}

// send opens a connection and writes to it.
func (s *site) send(t *testing.T, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}

	return c
}
