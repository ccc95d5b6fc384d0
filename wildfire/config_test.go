package wildfire_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestBaseURLIsChecked(t *testing.T) {
	t.Parallel()
	tests := []struct {
		base, want string // want "" is an error
		allow      bool
	}{
		{"https://wildfire.example.test", "https://wildfire.example.test/publicapi", false},
		{"https://wildfire.example.test/", "https://wildfire.example.test/publicapi", false},
		{"https://wildfire.example.test/publicapi/", "https://wildfire.example.test/publicapi", false},
		{"https://wildfire.example.test:8443/eu", "https://wildfire.example.test:8443/eu/publicapi", false},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/publicapi", false},
		{"http://[::1]:8080", "http://[::1]:8080/publicapi", false},
		{"http://localhost", "http://localhost/publicapi", false},
		{"http://wildfire.example.test", "", false},
		{"http://wildfire.example.test", "http://wildfire.example.test/publicapi", true},
		{"", "", false},
		{"wildfire.example.test", "", false},
		{"ftp://wildfire.example.test", "", false},
		{"https://", "", false},
		{"https://:443", "", false},
		{"https://user:secret@wildfire.example.test", "", false},
		{"https://wildfire.example.test/?apikey=secret", "", false},
		{"https://wildfire.example.test/#x", "", false},
		{"https://secret\x7f", "", false},
	}
	for _, tt := range tests {
		cfg := wildfire.DefaultConfig()
		capture := &capturing{}
		cfg.BaseURL = tt.base
		cfg.AllowHTTP = tt.allow
		cfg.Transport = capture
		c, err := wildfire.New(cfg, wildfire.StaticToken("t"))
		if tt.want == "" {
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: got %v, want an error that hides the URL", tt.base, err)
			}

			continue
		}

		if err != nil {
			t.Errorf("%q: %v", tt.base, err)
			continue
		}

		_, _ = c.Verdict(t.Context(), anyHash)
		if got := capture.request.URL.String(); got != tt.want+"/get/verdict" {
			t.Errorf("%q: asked %s, want %s", tt.base, got, tt.want)
		}
	}
}

func TestConfigReportsAllProblems(t *testing.T) {
	t.Parallel()
	cfg := wildfire.Config{
		BaseURL:        "x",
		MaxFileSize:    -1,
		StallTimeout:   -1,
		AnswerTimeout:  -1,
		ExpectContinue: -1,
		MaxDownload:    -1,
		UserAgent:      "a\nb",
		Agent:          "a\rb",
	}
	err := cfg.Validate()
	for _, name := range []string{"url", "max_file_size", "stall_timeout", "answer_timeout", "expect_continue", "max_download", "user_agent", "agent"} {
		if err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%v does not name %s", err, name)
		}
	}

	if err := wildfire.DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if _, err := wildfire.New(wildfire.DefaultConfig(), nil); err == nil {
		t.Error("New accepted a nil TokenSource")
	}
}

func TestStaticTokenIsNotPrinted(t *testing.T) {
	t.Parallel()
	token := wildfire.StaticToken("s3cr3t")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, token); strings.Contains(got, "s3cr3t") {
			t.Errorf("%s shows %s", verb, got)
		}
	}
}

func TestTransportConfigIsChecked(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for name, cfg := range map[string]wildfire.TransportConfig{
		"proxy without host":    {Proxy: "http://"},
		"proxy of another kind": {Proxy: "gopher://user:s3cr3t@proxy"},
		"proxy that is no URL":  {Proxy: "http://user:s3cr3t@pro xy"},
		"no CA file":            {CAFile: filepath.Join(t.TempDir(), "none.pem")},
		"empty CA file":         {CAFile: empty},
		"certificate alone":     {CertFile: empty},
	} {
		if _, err := wildfire.NewTransport(cfg); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: got %v, want an error without the password", name, err)
		}
	}

	for _, proxy := range []string{"", "direct", "http://p:1", "https://p:1", "socks5://p:1"} {
		if _, err := wildfire.NewTransport(wildfire.TransportConfig{Proxy: proxy}); err != nil {
			t.Errorf("%q: %v", proxy, err)
		}
	}
}

// A proxy in the environment that net/http would ignore is an error.
func TestProxyInTheEnvironment(t *testing.T) {
	for address, ok := range map[string]bool{
		"":                          true,
		"http://web.example:3128":   true,
		"web.example:3128":          true,
		"http://user:s3cr3t@pro xy": false,
		"http://":                   false,
		"htttp://web.example":       false,
	} {
		t.Setenv("HTTPS_PROXY", address)
		_, err := wildfire.NewTransport(wildfire.DefaultTransportConfig())
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// secure serves the simulator over TLS and returns the file with its certificate.
func secure(t *testing.T, server *wildfiretest.Server) (web *httptest.Server, caFile string) {
	t.Helper()
	web = server.StartTLS()
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // some handshakes are expected to fail
	t.Cleanup(web.Close)

	return web, authority(t, web)
}

// authority writes the certificate of a server to a file and returns its name.
func authority(t *testing.T, web *httptest.Server) (caFile string) {
	t.Helper()
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}

	return caFile
}

// TestTLSTrustsOnlyTheGivenAuthority makes calls over both versions of HTTP, with the authority's
// certificate and without it.
func TestTLSTrustsOnlyTheGivenAuthority(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New(wildfiretest.WithDelay(0))
	protocols := make(chan int, 10)
	inner := http.Handler(server)
	web, caFile := secure(t, server)
	web.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols <- r.ProtoMajor
		inner.ServeHTTP(w, r)
	})
	for _, disable := range []bool{false, true} {
		c := client(t, web.URL, wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
			cfg.Network.CAFile = caFile
			cfg.Network.DisableHTTP2 = disable
			cfg.ExpectContinue = 1
		})
		if _, err := c.SubmitFile(t.Context(), file("a.exe", contents)); err != nil {
			t.Fatal(err)
		}

		want := map[bool]int{false: 2, true: 1}[disable]
		if got := <-protocols; got != want {
			t.Errorf("HTTP/%d, want %d", got, want)
		}

		server.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Times: 1, Fault: wildfiretest.Fault{Status: 401}})
		if _, err := c.SubmitFile(t.Context(), file("b.exe", contents)); err != nil {
			t.Errorf("after a 401: %v", err)
		}

		<-protocols
		<-protocols
	}

	c := client(t, web.URL, wildfire.StaticToken("t"))
	if _, err := c.Verdict(t.Context(), anyHash); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want a certificate that is not trusted", err)
	}
}

// TestFaultsOverHTTP2: an upload whose stream is reset in the middle is repeated once, and a
// missing answer is reported.
func TestFaultsOverHTTP2(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New(wildfiretest.WithDelay(0))
	web, caFile := secure(t, server)
	c := client(t, web.URL, wildfire.StaticToken("t"), func(cfg *wildfire.Config) { cfg.Network.CAFile = caFile })
	large := strings.Repeat("0123456789abcdef", 1<<18)

	remove := server.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Times: 1, Fault: wildfiretest.Fault{Reset: true, ResetAfter: 64 << 10}})
	if _, err := c.SubmitFile(t.Context(), file("a.exe", large)); err != nil {
		t.Errorf("after a reset: %v", err)
	}
	if n := server.Count(wildfire.OpSubmitFile); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}

	remove()
	_, err := c.SubmitFile(t.Context(), file("unanswered.exe", large+"x"))
	var api *wildfire.APIError
	if !errors.Is(err, wildfire.ErrTransport) || !errors.As(err, &api) || !api.MaybeDone {
		t.Errorf("unanswered: got %v, want ErrTransport that may be done", err)
	}
	if n := server.UploadCount(sha256Of(large + "x")); n != 1 {
		t.Errorf("%d uploads were counted, want 1", n)
	}

	for status, want := range map[int]error{413: wildfire.ErrTooLarge, 419: wildfire.ErrUploadQuota, 503: wildfire.ErrUnavailable} {
		remove := server.Inject(wildfiretest.Rule{Fault: wildfiretest.Fault{Status: status, Early: true}})
		if _, err := c.SubmitFile(t.Context(), file("a.exe", large)); !errors.Is(err, want) {
			t.Errorf("%d: got %v, want %v", status, err, want)
		}

		remove()
	}
}

// TestProxy sends the calls through a proxy, and the proxy's password only to the proxy.
func TestProxy(t *testing.T) {
	t.Parallel()
	var asked *url.URL
	var authorization string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, authorization = r.URL, r.Header.Get("Proxy-Authorization")
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	with, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}

	with.User = url.UserPassword("user", "s3cr3t")
	c := client(t, "http://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.AllowHTTP, cfg.Network.Proxy = true, with.String()
	})
	_, err = c.Verdict(t.Context(), anyHash)
	if err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v, want an error without the password", err)
	}
	if asked.Host != "wildfire.example.test" || authorization == "" {
		t.Errorf("the proxy was asked for %v with %q", asked, authorization)
	}

	// A proxy that refuses the tunnel to an https host.
	c = client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) { cfg.Network.Proxy = with.String() })
	if _, err = c.Verdict(t.Context(), anyHash); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

// TestRedirectsAreNotFollowed: neither the credentials nor the sample go anywhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s came to the other host", r.URL)
	}))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		web := httptest.NewServer(http.RedirectHandler(other.URL, status))
		c := client(t, web.URL, wildfire.StaticToken("t"))
		if _, err := c.SubmitFile(context.Background(), file("a.exe", contents)); err == nil || !strings.Contains(err.Error(), "redirected") {
			t.Errorf("%d: got %v, want ErrRedirect", status, err)
		}
		web.Close()
	}
}
