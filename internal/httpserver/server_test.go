package httpserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/bcrypt"

	"backburn/internal/httpserver"
	"backburn/internal/testkit"
)

func TestNames(t *testing.T) {
	t.Parallel()
	cfg := config()
	local := serve(t, cfg, httpserver.Options{}, hello, nil)
	cfg.Names = []string{"Backburn.example", "*.fleet.example", "192.0.2.1", "2001:db8::1"}
	named := serve(t, cfg, httpserver.Options{}, hello, nil)
	cfg.Listen, cfg.Names = "0.0.0.0:0", nil
	anywhere := serve(t, cfg, httpserver.Options{}, hello, nil)
	for name, tc := range map[string]struct {
		at   *site
		host string
		want int
	}{
		"the address":                    {local, local.Addr().String(), 200},
		"localhost":                      {local, "localhost:9464", 200},
		"localhost in other case":        {local, "LocalHost.", 200},
		"below localhost":                {local, "a.localhost", 200},
		"the loopback network":           {local, "127.1.2.3", 200},
		"IPv6":                           {local, "[::1]:80", 200},
		"IPv4 in IPv6":                   {local, "[::ffff:127.0.0.1]", 200},
		"a name that resolves to us":     {local, "rebound.example", 421},
		"with our port":                  {local, "rebound.example:9464", 421},
		"begins like localhost":          {local, "localhost.example", 421},
		"begins like an address":         {local, "127.0.0.1.example", 421},
		"another address":                {local, "192.0.2.7", 421},
		"a number":                       {local, "2130706433", 421},
		"listed":                         {named, "backburn.example", 200},
		"listed, other form":             {named, "BACKBURN.example.:443", 200},
		"listed address":                 {named, "192.0.2.1:80", 200},
		"listed IPv6":                    {named, "[2001:db8::1]:80", 200},
		"below a listed one":             {named, "x.backburn.example", 421},
		"matches a wildcard":             {named, "a.fleet.example", 200},
		"below a wildcard match":         {named, "b.a.fleet.example", 200},
		"the wildcard's own domain":      {named, "fleet.example", 421},
		"ends like a wildcard":           {named, "afleet.example", 421},
		"not listed":                     {named, "rebound.example", 421},
		"any name, every interface":      {anywhere, "rebound.example", 421},
		"other address, every interface": {anywhere, "192.0.2.7", 421},
		"this machine, on every address": {anywhere, "localhost", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{"/", "/metrics", "/readyz"} {
				if got := tc.at.ask(tc.host, path); got != tc.want {
					t.Errorf("%s of %q: %d, want %d", path, tc.host, got, tc.want)
				}
			}
		})
	}
}

// The address to which the client connected is always an allowed name.
func TestAddressOfTheConnection(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.Listen = "0.0.0.0:0"
	s := serve(t, cfg, httpserver.Options{}, hello, nil)
	const host = "GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
	if got := readUntilClosed(t, s.dial("127.0.0.1", host)); !strings.Contains(got, " 200 ") {
		t.Errorf("%q", got)
	}
	if got := readUntilClosed(t, s.dial("127.0.0.1", "GET / HTTP/1.0\r\n\r\n")); !strings.Contains(got, " 421 ") {
		t.Errorf("without Host: %q", got)
	}
}

func TestCrossSiteRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, config(), httpserver.Options{Links: []string{"/"}}, hello, nil)
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200, "": 200} {
		for _, path := range []string{"/api/status", "/metrics", "/debug/pprof/profile"} {
			if got := s.ask("localhost", path, "Sec-Fetch-Site", site); got != want {
				t.Errorf("%s %s: status %d, want %d", path, site, got, want)
			}
		}
	}
	if got := s.ask("localhost", "/", "Sec-Fetch-Site", "cross-site"); got != 200 {
		t.Errorf("a link to the page: %d", got)
	}
}

func TestBasePath(t *testing.T) {
	t.Parallel()
	cfg := config()
	cfg.BasePath = "/back/burn"
	s := serve(t, cfg, httpserver.Options{Routes: []string{"/x", "/"}}, hello, nil)
	get := func(path string) (int, string, string) {
		client := &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		res, err := client.Get("http://" + s.localAddr() + path)
		must(t, err)
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, string(b), res.Header.Get("Location")
	}
	for path, want := range map[string]string{
		"/back/burn/":           "hello /",
		"/back/burn/x":          "hello /x",
		"/x":                    "hello /x",
		"/back/burn/back/burn/": "hello /back/burn/",
		"/back/burnt":           "hello /back/burnt",
	} {
		if code, got, _ := get(path); code != 200 || got != want {
			t.Errorf("%s: %d %q, want %q", path, code, got, want)
		}
	}
	if code, _, location := get("/back/burn"); code != 308 || location != "/back/burn/" {
		t.Errorf("%d to %q", code, location)
	}
	if n := s.metric("backburn_http_requests_total", "2xx", "http", "/x"); n != 2 {
		t.Errorf("%v requests for /x", n)
	}
}

// A stream may last longer than a request if its handler extends the deadlines. It ends at once
// when the server stops.
func TestUntilStop(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	ended := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		control := http.NewResponseController(w)
		must(t, control.SetWriteDeadline(time.Time{}))
		must(t, control.SetReadDeadline(time.Time{}))
		ctx, stop := httpserver.UntilStop(r)
		defer stop()
		for range 3 {
			_, _ = io.WriteString(w, "line\n")
			_ = control.Flush()
			select {
			case <-time.After(limit): // each time the whole limit of a request
			case <-ctx.Done():
				return
			}
		}
		_, _ = io.WriteString(w, "last\n")
		_ = control.Flush()
		<-ctx.Done()
	})
	s := serve(t, config(), httpserver.Options{}, h, func(s *httpserver.Server) { s.SetTimeouts(limit) })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + s.localAddr() + "/api/events")
	must(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for _, want := range []string{"line", "line", "line", "last"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q (%v), want %q", lines.Text(), lines.Err(), want)
		}
	}
	s.stop()
	<-ended
}

// After a panic the client gets a response, the log has a line without the panic value, and the
// process continues.
func TestPanics(t *testing.T) {
	t.Parallel()
	s := serve(t, config(), httpserver.Options{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") }), nil)
	if got := s.ask("localhost", "/"); got != 500 {
		t.Errorf("%d", got)
	}
	if log := s.log.String(); !strings.Contains(log, "panic in a request handler") || strings.Contains(log, `"secret"`) {
		t.Error(log)
	}
	if n := s.metric("backburn_http_requests_total", "5xx", "http", "other"); n != 1 {
		t.Errorf("%v", n)
	}
}

// A warning is logged if something is exposed to the network without a password.
func TestWarnings(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	must(t, err)
	users := write(t, t.TempDir(), "web.yml", "basic_auth_users: {admin: '"+string(hash)+"'}\n")
	const open, profiles = "open to the network without authentication", "profiles of the process are open"
	for name, tc := range map[string]struct {
		listen, web string
		opts        httpserver.Options
		want        []string
	}{
		"this machine":           {"127.0.0.1:0", "", httpserver.Options{Profiles: true}, nil},
		"everywhere":             {"0.0.0.0:0", "", httpserver.Options{}, []string{open}},
		"with profiles":          {"0.0.0.0:0", "", httpserver.Options{Profiles: true}, []string{open, profiles}},
		"any":                    {":0", "", httpserver.Options{}, []string{open}},
		"with tokens":            {"0.0.0.0:0", "", httpserver.Options{Authenticates: true}, nil},
		"with passwords":         {"0.0.0.0:0", users, httpserver.Options{}, nil},
		"profiles and passwords": {"0.0.0.0:0", users, httpserver.Options{Profiles: true}, []string{profiles}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config()
			cfg.Listen, cfg.WebConfigFile = tc.listen, tc.web
			log := serve(t, cfg, tc.opts, hello, nil).log.String()
			for _, text := range []string{open, profiles} {
				wanted := false
				for _, w := range tc.want {
					wanted = wanted || w == text
				}
				if strings.Contains(log, text) != wanted {
					t.Errorf("%q: %v; the log has:\n%s", text, !wanted, log)
				}
			}
		})
	}
}

// TLS and passwords come from the web configuration file. Names and metrics are handled before
// them.
func TestWebConfig(t *testing.T) {
	t.Parallel()
	authority := testkit.NewAuthority(t)
	cert, key := authority.Certificate()
	hash, err := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.MinCost)
	must(t, err)
	for name, http2 := range map[string]bool{"HTTP/2": true, "HTTP/1.1": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "tls_server_config: {cert_file: '" + cert + "', key_file: '" + key + "'}\nbasic_auth_users: {admin: '" + string(hash) + "'}\n"
			if !http2 {
				text += "http_server_config: {http2: false}\n"
			}
			cfg := config()
			cfg.WebConfigFile = write(t, t.TempDir(), "web.yml", text)
			s := serve(t, cfg, httpserver.Options{Routes: []string{"/"}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }), nil)
			client := &http.Client{Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: authority.Pool}, ForceAttemptHTTP2: true,
			}}
			defer client.CloseIdleConnections()
			ask := func(host, user, password string) (int, string) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.localAddr()+"/", nil)
				must(t, err)
				req.Host = host
				if user != "" {
					req.SetBasicAuth(user, password)
				}
				res, err := client.Do(req)
				must(t, err)
				defer res.Body.Close()
				b, err := io.ReadAll(res.Body)
				must(t, err)
				return res.StatusCode, string(b)
			}
			if code, proto := ask("", "admin", "correct horse"); code != 200 || !strings.HasPrefix(proto, name[:6]) || strings.HasPrefix(proto, "HTTP/2") != http2 {
				t.Errorf("%d %s", code, proto)
			}
			for _, wrong := range [][2]string{{"", ""}, {"admin", "wrong"}, {"root", "correct horse"}} {
				if code, _ := ask("", wrong[0], wrong[1]); code != 401 {
					t.Errorf("%q: %d", wrong, code)
				}
			}
			if code, _ := ask("rebound.example", "", ""); code != 421 {
				t.Errorf("another host name: status %d", code)
			}
			if n := s.metric("backburn_http_requests_total", "4xx", "http", "/"); n != 4 {
				t.Errorf("counted %v refusals", n)
			}

			at := cfg
			at.Listen = s.localAddr()
			own, url, err := at.LocalClient()
			must(t, err)
			res, err := own.Get(url + "/")
			must(t, err)
			res.Body.Close()
			if res.StatusCode != 401 {
				t.Errorf("a local client: status %d", res.StatusCode)
			}
			keyText, err := os.ReadFile(key)
			must(t, err)
			certText, err := os.ReadFile(cert)
			must(t, err)
			pemFile := write(t, t.TempDir(), "server.pem", string(keyText)+string(certText)) // the key may come first
			at.WebConfigFile = write(t, t.TempDir(), "web.yml", "tls_server_config: {cert_file: '"+pemFile+"', key_file: '"+pemFile+"'}\n")
			if _, _, err := at.LocalClient(); err != nil {
				t.Errorf("a file with key and certificate: %v", err)
			}
			otherCert, otherKey := authority.Certificate()
			at.WebConfigFile = write(t, t.TempDir(), "web.yml", "tls_server_config: {cert_file: '"+otherCert+"', key_file: '"+otherKey+"'}\n")
			if own, url, err = at.LocalClient(); err != nil {
				t.Fatal(err)
			}
			if res, err := own.Get(url + "/"); err == nil {
				res.Body.Close()
				t.Error("a local client accepts another certificate")
			}
		})
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	s := serve(t, config(), httpserver.Options{}, hello, nil)
	cfg := config()
	cfg.Listen = s.Addr().String()
	if _, err := httpserver.New(cfg, httpserver.Options{Table: "api", Log: zerolog.Nop()}, hello); !errors.Is(err, httpserver.ErrListen) || !strings.Contains(err.Error(), "api.listen") {
		t.Errorf("a second listener on the address: %v", err)
	}
	for _, text := range []string{"nonsense: 1\n", "tls_server_config: {cert_file: none, key_file: none}\n", "basic_auth_users: {a: plain}\n"} {
		cfg := config()
		cfg.WebConfigFile = write(t, t.TempDir(), "web.yml", text)
		if _, err := httpserver.New(cfg, httpserver.Options{Table: "api", Log: zerolog.Nop()}, hello); err == nil || !strings.Contains(err.Error(), "api.web_config_file") {
			t.Errorf("%s: %v", text, err)
		}
	}
	cfg = config()
	cfg.WebConfigFile = filepath.Join(t.TempDir(), "none")
	if _, err := httpserver.New(cfg, httpserver.Options{Table: "api", Log: zerolog.Nop()}, hello); err == nil {
		t.Error("no error for a missing web configuration file")
	}
}

// A server that never runs leaves nothing behind. After Close, Run returns an error.
func TestClose(t *testing.T) {
	t.Parallel()
	opts := httpserver.Options{Table: "http", Log: zerolog.Nop()}
	s, err := httpserver.New(config(), opts, hello)
	must(t, err)
	addr := s.Addr().String()
	s.Close()
	cfg := config()
	cfg.Listen = addr
	second, err := httpserver.New(cfg, opts, hello)
	if err != nil {
		t.Fatalf("the address is still in use: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- second.Run(context.Background(), time.Minute) }()
	second.Close()
	if err := <-done; err == nil {
		t.Error("Run returned no error after Close")
	}
}
