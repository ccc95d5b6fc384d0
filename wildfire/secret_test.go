package wildfire_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// rawServer answers every request with the same bytes.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}

			_, _ = bufio.NewReader(conn).ReadString('\n')
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })

	return "http://" + listener.Addr().String()
}

// TestErrorsDoNotQuoteTheAnswer: the error about an answer that is not valid HTTP contains no part
// of it.
func TestErrorsDoNotQuoteTheAnswer(t *testing.T) {
	t.Parallel()
	const canary = "c4nary"
	for _, answer := range []string{
		canary, "HTTP/1.1 " + canary + " x\r\n\r\n", "HTTP/1.1 2" + canary + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n", "HTTP/1.1 200 OK\r\n" + canary + " : x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: " + canary + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + canary + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + canary + "\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\nX: " + canary + "\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://" + canary + "%zz/\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://" + canary + "/\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 500 " + canary + "\r\nX-Y: " + canary + "\r\nContent-Length: 6\r\n\r\n" + canary,
		"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 30\r\n\r\n<" + canary + "/>",
		"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 17\r\n\r\n<wildfire><c4nary",
	} {
		c := client(t, rawServer(t, answer), wildfire.StaticToken("s3cr3t"))
		_, err := c.Verdict(t.Context(), anyHash)
		if err == nil {
			t.Errorf("%q was accepted as an answer", answer)
			continue
		}

		for _, hidden := range []string{canary, "s3cr3t"} {
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("%q: the error shows %q: %v", answer, hidden, err)
			}
		}
	}
}

// TestErrorsDoNotContainSecrets: no error contains a secret, in any way of printing it.
func TestErrorsDoNotContainSecrets(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-0123456789"
	for _, key := range []bool{false, true} {
		server := wildfiretest.New()
		web := server.Start()
		t.Cleanup(web.Close)
		c := client(t, web.URL, wildfire.StaticToken(secret), func(cfg *wildfire.Config) { cfg.APIKey = key })
		for _, fault := range []wildfiretest.Fault{
			{Status: 401, Message: "key " + secret + " refused"},
			{Status: 500, Message: secret, Body: wildfiretest.HTMLBody},
			{Status: 403, Message: "see https://x/?apikey=" + secret},
			{Reset: true},
			{LoseAnswer: true},
			{Style: wildfiretest.HTML200},
		} {
			remove := server.Inject(wildfiretest.Rule{Fault: fault})
			for op, call := range callOf {
				if op == wildfire.OpTestFile {
					continue // this call needs no credential
				}

				err := call(t.Context(), c)
				if err == nil {
					continue
				}

				for _, verb := range []string{"%v", "%+v", "%s", "%q"} {
					if text := fmt.Sprintf(verb, err); strings.Contains(text, secret) {
						t.Errorf("%s, %+v: %s", op, fault, text)
					}
				}

				var api *wildfire.APIError
				if errors.As(err, &api) && strings.Contains(api.Message, secret) {
					t.Errorf("%s, %+v: message %q", op, fault, api.Message)
				}
			}

			remove()
		}
	}
}

// TestMaybeDoneIsSetOnlyIfTheRequestWasSent: a call that did not reach the service definitely had
// no effect.
func TestMaybeDoneIsSetOnlyIfTheRequestWasSent(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	nobody := "http://" + listener.Addr().String()
	_ = listener.Close()
	server := wildfiretest.New()
	server.Inject(wildfiretest.Rule{Fault: wildfiretest.Fault{LoseAnswer: true}})
	silent := server.Start()
	t.Cleanup(silent.Close)
	for name, tt := range map[string]struct {
		url  string
		want bool
	}{"refused": {nobody, false}, "unanswered": {silent.URL, true}} {
		c := client(t, tt.url, wildfire.StaticToken("t"))
		for op, call := range map[string]func(context.Context, *wildfire.Client) error{
			"file": callOf[wildfire.OpSubmitFile], "link": callOf[wildfire.OpSubmitLink],
		} {
			var api *wildfire.APIError
			if err := call(t.Context(), c); !errors.Is(err, wildfire.ErrTransport) || !errors.As(err, &api) || api.MaybeDone != tt.want {
				t.Errorf("%s, %s: got %+v, want MaybeDone %v", name, op, api, tt.want)
			}
		}
	}
}
