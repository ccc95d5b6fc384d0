package health_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"backburn/internal/health"
	"backburn/internal/proxy"
)

// Real calls distinguish each reason why a service cannot be reached.
func TestWhyAServiceIsOutOfReach(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	t.Cleanup(secure.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	t.Cleanup(refusing.Close)
	filtering := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(filtering.Close)
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // without it, the server would not notice that the client is gone
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	breaks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(breaks.Close)
	status := func(n int) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) }))
		t.Cleanup(s.Close)
		return s
	}

	for name, tc := range map[string]struct {
		url, proxy string
		cause      health.Cause // "": it can be reached
	}{
		"a name that does not exist":             {"http://backburn.invalid/", "", health.CauseDNS},
		"nobody listens":                         {gone.URL, "", health.CauseTCP},
		"the connection breaks":                  {breaks.URL, "", health.CauseTCP},
		"a certificate of another host":          {secure.URL, "", health.CauseTLS},
		"TLS to a server without TLS":            {strings.Replace(plain.URL, "http:", "https:", 1), "", health.CauseTLS},
		"the proxy is gone":                      {"https://wildfire.example/", gone.URL, health.CauseProxy},
		"the proxy wants a password":             {"https://wildfire.example/", refusing.URL, health.CauseProxy},
		"the proxy wants a password, plain HTTP": {"http://wildfire.example/", refusing.URL, health.CauseProxy},
		"the proxy forbids the address":          {"https://wildfire.example/", filtering.URL, health.CauseProxy},
		"no answer":                              {hangs.URL, "", health.CauseTimeout},
		"503":                                    {status(503).URL, "", health.CauseStatus},
		"500":                                    {status(500).URL, "", health.CauseStatus},
		"404":                                    {status(404).URL, "", ""},
		"401":                                    {status(401).URL, "", ""},
		"419":                                    {status(419).URL, "", ""},
		"200":                                    {status(200).URL, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := &http.Transport{
				DisableKeepAlives:      true,
				TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
				OnProxyConnectResponse: proxy.CheckConnect,
			}
			if tc.proxy != "" {
				u, err := url.Parse(tc.proxy)
				if err != nil {
					t.Fatal(err)
				}
				next.Proxy = http.ProxyURL(u)
			}
			p := health.New(zerolog.Nop()).Part("wildfire", "")
			tr := health.NewTransport(next, health.Service{Part: p, Name: "WildFire", Key: "wildfire.url"})
			for i := range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if tc.cause == health.CauseTimeout {
					cancel()
					ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
				}
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, tc.url, strings.NewReader("x"))
				if err != nil {
					t.Fatal(err)
				}
				if res, err := tr.RoundTrip(req); err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				cancel()
				s := p.Status()
				want := health.OK
				if tc.cause != "" {
					want = []health.State{health.Degraded, health.Degraded, health.Failed}[i]
				}
				if s.State != want || s.Cause != tc.cause {
					t.Errorf("after %d calls: %+v", i+1, s)
				}
				if tc.cause != "" && (s.Reason == "" || !strings.Contains(s.Remedy, "wildfire.url")) {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// roundTripFunc gives the configured answers.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (n roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

func call(t *testing.T, tr http.RoundTripper, ctx context.Context) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := tr.RoundTrip(req); err == nil {
		res.Body.Close()
	}
}

// A call that is given up, or whose data cannot be read, says nothing about the service. One answer
// makes the part ok.
func TestOutcomesThatSayNothing(t *testing.T) {
	t.Parallel()
	var err error
	p := health.New(zerolog.Nop()).Part("wildfire", "")
	tr := health.NewTransport(roundTripFunc(func(*http.Request) (*http.Response, error) {
		if err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}), health.Service{Part: p, Name: "WildFire"})

	for _, err = range []error{context.Canceled, fmt.Errorf("post: %w", context.Canceled)} {
		call(t, tr, t.Context())
		if s := p.Status(); s.State != health.OK {
			t.Errorf("%v: %+v", err, s)
		}
	}
	for _, fault := range []error{&net.OpError{Op: "dial", Err: errors.New("refused")}, errors.New("an error that no list has")} {
		err = fault
		for range 5 {
			call(t, tr, t.Context())
		}
		if s := p.Status(); s.State != health.Failed {
			t.Errorf("%v: %+v", fault, s)
		}
		err = nil
		call(t, tr, t.Context())
		if s := p.Status(); s.State != health.OK {
			t.Errorf("after an answer: %+v", s)
		}
	}
}

// Data that cannot be read says nothing about the service, over HTTP/1.1 and HTTP/2.
func TestABodyThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			web := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
			}))
			web.EnableHTTP2 = protocol == "HTTP/2.0"
			web.StartTLS()
			t.Cleanup(web.Close)

			p := health.New(zerolog.Nop()).Part("wildfire", "")
			tr := health.NewTransport(web.Client().Transport, health.Service{Part: p, Name: "WildFire"})
			broken := errors.New("the contents changed")
			for range 5 {
				body := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), iotest.ErrReader(broken))
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL, body)
				if err != nil {
					t.Fatal(err)
				}
				if res, err := tr.RoundTrip(req); !errors.Is(err, broken) {
					t.Fatalf("%v %v, want %q", res, err, broken)
				}
			}
			if s := p.Status(); s.State != health.OK {
				t.Errorf("%+v", s)
			}
		})
	}
}

// For a receiver of this kind, only 2xx is a success.
func TestStatusesThatAreFaults(t *testing.T) {
	t.Parallel()
	status := 404
	p := health.New(zerolog.Nop()).Part("sink", "siem")
	tr := health.NewTransport(roundTripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: http.NoBody}, nil
	}), health.Service{Part: p, Name: "the webhook", IsFault: func(n int) bool { return n/100 != 2 }})
	call(t, tr, t.Context())
	if s := p.Status(); s.State != health.Degraded || s.Cause != health.CauseStatus || !strings.Contains(s.Reason, "the webhook answers 404") {
		t.Errorf("%+v", s)
	}
	status = 204
	call(t, tr, t.Context())
	if s := p.Status(); s.State != health.OK {
		t.Errorf("%+v", s)
	}
}

// A service that could not be reached is checked while there are no calls.
func TestChecksForALostService(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Method }))
	t.Cleanup(web.Close)
	p := health.New(zerolog.Nop()).Part("wildfire", "")
	away := true
	tr := health.NewTransport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
		if away {
			away = false
			return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
		}
		return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	}), health.Service{Part: p, Name: "WildFire", URL: web.URL})
	call(t, tr, t.Context())
	health.CheckAtOnce(tr)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan struct{})
	go func() { defer close(done); _ = tr.Run(ctx) }()
	if m := <-asked; m != http.MethodHead {
		t.Errorf("it was asked by %s", m)
	}
	for p.Status().State != health.OK && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if s := p.Status(); s.State != health.OK {
		t.Errorf("%+v", s)
	}
	cancel()
	<-done
}

// While a service has not answered its first call, its state is unknown. After some seconds the
// part says why. The answer ends that.
func TestAServiceThatDoesNotAnswerYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		part := health.New(zerolog.Nop()).UnknownPart("wildfire", "")
		answer := make(chan *http.Response)
		next := roundTripper(func(*http.Request) (*http.Response, error) { return <-answer, nil })
		tr := health.NewTransport(next, health.Service{Part: part, Name: "WildFire"})
		go func() {
			res, err := tr.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
			if err == nil {
				_ = res.Body.Close()
			}
		}()

		time.Sleep(11 * time.Second)
		if s := part.Status(); s.State != health.Unknown || s.Text() != "WildFire has not answered a call within 10s; still waiting" {
			t.Errorf("the part is %s: %q", s.State, s.Text())
		}

		answer <- &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}
		synctest.Wait()
		if s := part.Status(); s.State != health.OK || s.Text() != "" {
			t.Errorf("after the answer the part is %s: %q", s.State, s.Text())
		}
	})
}

// roundTripper is a function as a transport.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
