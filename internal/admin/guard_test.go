package admin_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"backburn/internal/admin"
)

// serve runs a server for the time of a test. prepare is called before that.
func serve(t *testing.T, addr string, cfg admin.Config, prepare func(*admin.Server)) *admin.Server {
	t.Helper()
	s, err := admin.New(addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, time.Minute) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask asks for a path by the name of a host.
func ask(t *testing.T, addr net.Addr, host, path string, header ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

func TestNamesOfThisMachineAlone(t *testing.T) {
	t.Parallel()
	cfg := full()
	cfg.Pprof = true
	cfg.Events = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	local, any := serve(t, "127.0.0.1:0", cfg, nil).Addr(), serve(t, "0.0.0.0:0", cfg, nil).Addr()
	_, port, _ := net.SplitHostPort(any.String())
	anywhere, err := net.ResolveTCPAddr("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		at         net.Addr
		host, path string
		want       int
	}{
		"the address":                   {local, local.String(), "/api/status", 200},
		"localhost":                     {local, "localhost:9464", "/", 200},
		"localhost, written otherwise":  {local, "LocalHost.", "/", 200},
		"the loopback network":          {local, "127.1.2.3", "/", 200},
		"IPv6":                          {local, "[::1]:80", "/", 200},
		"IPv4 in IPv6":                  {local, "[::ffff:127.0.0.1]", "/", 200},
		"a name that resolves to us":    {local, "rebound.example", "/api/status", 421},
		"with our port":                 {local, "rebound.example:9464", "/api/status", 421},
		"for the stream":                {local, "rebound.example", "/api/events", 421},
		"for the page":                  {local, "rebound.example", "/", 421},
		"for profiles":                  {local, "rebound.example", "/debug/pprof/", 421},
		"a name that begins like one":   {local, "localhost.example", "/", 421},
		"an address that ends like one": {local, "127.0.0.1.example", "/", 421},
		"another address":               {local, "192.0.2.7", "/", 421},
		"a scraper's own name":          {local, "backburn.internal", "/metrics", 200},
		"a balancer's own name":         {local, "backburn.internal", "/readyz", 200},
		"any name on every address":     {anywhere, "backburn.example", "/api/status", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ask(t, tc.at, tc.host, tc.path); got != tc.want {
				t.Errorf("%s of %q: %d, want %d", tc.path, tc.host, got, tc.want)
			}
		})
	}
}

func TestPagesOfOtherSites(t *testing.T) {
	t.Parallel()
	addr := serve(t, "127.0.0.1:0", full(), nil).Addr()
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200} {
		if got := ask(t, addr, addr.String(), "/api/status", "Sec-Fetch-Site", site); got != want {
			t.Errorf("%s: %d, want %d", site, got, want)
		}
	}
	// A link to the page is none of them.
	if got := ask(t, addr, addr.String(), "/", "Sec-Fetch-Site", "cross-site"); got != 200 {
		t.Errorf("a link to the page: %d", got)
	}
}

// A stream outlives the time that a request has, and the stop of the server ends it at once.
func TestStream(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	ended := make(chan struct{})
	cfg := admin.Config{Events: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		control := http.NewResponseController(w)
		for range 3 {
			_, _ = io.WriteString(w, "line\n")
			_ = control.Flush()
			select {
			case <-time.After(limit): // each time all that a request has
			case <-r.Context().Done():
				return
			}
		}
		_, _ = io.WriteString(w, "last\n")
		_ = control.Flush()
		<-r.Context().Done()
	})}
	s, err := admin.New("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Hurry(limit)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- s.Run(ctx, time.Hour) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + s.Addr().String() + "/api/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for _, want := range []string{"line", "line", "line", "last"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q (%v), want %q", lines.Text(), lines.Err(), want)
		}
	}
	cancel()
	<-ended
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
