package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"backburn/internal/testkit"
)

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	p := s.Start("backburn", "run")
	p.Logged("ready")
	addr := p.Logged("serving health, metrics and status").Text("addr")
	ask := func(args ...string) int {
		t.Helper()
		return s.Start("backburn", append([]string{"healthcheck"}, args...)...).Wait()
	}
	if code := ask("--http-listen", addr); code != 0 {
		t.Errorf("it lives, but the exit code is %d", code)
	}
	if code := ask("--ready", "--http-listen", addr); code != 0 {
		t.Errorf("it is ready, but the exit code is %d", code)
	}

	p.Stop()
	if code := ask("--http-listen", addr); code != 4 {
		t.Errorf("it is gone, but the exit code is %d", code)
	}
	if code := ask("--http-listen", ""); code != 2 {
		t.Errorf("without an address: exit code %d", code)
	}

	status := make(chan int, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-status) }))
	t.Cleanup(web.Close)
	for answer, want := range map[int]int{200: 0, 401: 0, 503: 4} {
		status <- answer
		if code := ask("--http-listen", web.Listener.Addr().String()); code != want {
			t.Errorf("status %d: exit code %d, want %d", answer, code, want)
		}
	}
	for answer, want := range map[int]int{200: 0, 401: 4, 404: 4, 503: 4} {
		status <- answer
		if code := ask("--ready", "--http-listen", web.Listener.Addr().String()); code != want {
			t.Errorf("readiness with status %d: exit code %d, want %d", answer, code, want)
		}
	}
}

// With TLS, the process is asked as it wants to be asked.
func TestHealthcheckWithTLS(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	certFile, keyFile := testkit.NewAuthority(t).Certificate()
	s.WriteFile("web.yml", fmt.Sprintf("tls_server_config: {cert_file: %q, key_file: %q}\n", certFile, keyFile))
	s.Configure(testkit.Settings{"http.web_config_file": s.Path("web.yml")})
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}

	status := make(chan int, 1)
	listener := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-status) }))
	listener.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	listener.StartTLS()
	t.Cleanup(listener.Close)
	for answer, want := range map[int]int{200: 0, 503: 4} {
		status <- answer
		if code := s.Start("backburn", "healthcheck", "--ready", "--http-listen", listener.Listener.Addr().String()).Wait(); code != want {
			t.Errorf("readiness with status %d: exit code %d, want %d", answer, code, want)
		}
	}
}
