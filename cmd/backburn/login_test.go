package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"backburn/auth"
	"backburn/auth/authtest"
	"backburn/internal/cli"
	"backburn/internal/config"
)

// hubProfile returns a configuration with a profile at the test's own hub, and without a fleet.
func hubProfile(t *testing.T, redirect string) (config.Config, *authtest.Server) {
	t.Helper()
	hub := authtest.NewServer(authtest.Config{ClientID: "tool", ClientSecret: "hush", RedirectURL: redirect, Roll: true})
	t.Cleanup(hub.Close)
	cfg := config.Default()
	cfg.NATS.URL = "nats://127.0.0.1:1"
	cfg.Auth = map[string]auth.Profile{"cortex": {
		Kind: auth.KindCortex, ClientID: "tool", ClientSecret: auth.NewSecret("hush"), Scope: "logging-service:read",
		TokenURL: hub.TokenURL(), AuthorizeURL: hub.AuthorizeURL(), RevokeURL: hub.RevokeURL(), RedirectURL: redirect,
		GrantFile: filepath.Join(t.TempDir(), "grant"), Share: auth.ShareOff,
	}}

	return cfg, hub
}

// hubParams are instance_id=123&region=americas.
const hubParams = "params=aW5zdGFuY2VfaWQ9MTIzJnJlZ2lvbj1hbWVyaWNhcw=="

func appWith(in io.Reader, out, err io.Writer) *cli.App {
	return cli.NewApp(&cobra.Command{Use: "backburn"}, cli.Std{Env: os.LookupEnv, In: in, Out: out, Err: err})
}

// A browser on this machine, which keeps cookies and follows redirects.
func TestLoginWithBrowser(t *testing.T) {
	t.Parallel()
	cfg, _ := hubProfile(t, "http://"+unusedAddress(t)+"/callback")
	var talk bytes.Buffer
	tool := appWith(strings.NewReader(""), io.Discard, &talk)
	page := make(chan string, 1)
	browser := func(ctx context.Context, address string) error {
		jar, err := cookiejar.New(nil)
		if err != nil {
			return err
		}

		go func() {
			client := http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
			res, err := client.Get(address)
			if err != nil {
				page <- err.Error()
				return
			}
			defer res.Body.Close()
			b, _ := io.ReadAll(res.Body)
			page <- string(b)
		}()

		return nil
	}
	if err := login(t.Context(), tool, cfg, "cortex", hubParams, browser); err != nil {
		t.Fatalf("%v\n%s", err, talk.String())
	}
	if got := <-page; !strings.HasPrefix(got, "Authorized.") {
		t.Errorf("the browser saw %q", got)
	}
	if !strings.Contains(talk.String(), "Logged in: instance 123, region americas.") {
		t.Errorf("it said %q", talk.String())
	}
	if _, err := os.Stat(cfg.Auth["cortex"].GrantFile); err != nil {
		t.Error(err)
	}
}

// A browser on another machine, where the user copies the addresses.
func TestLoginByPastedAddressAndLogout(t *testing.T) {
	t.Parallel()
	cfg, hub := hubProfile(t, "https://backburn.example.com/callback")
	in, typed := io.Pipe()
	said, talk := io.Pipe()
	tool := appWith(in, io.Discard, talk)
	done := make(chan error, 1)
	go func() {
		done <- login(t.Context(), tool, cfg, "cortex", hubParams, nil)
		talk.Close()
	}()
	lines := bufio.NewScanner(said)
	address := ""
	for address == "" && lines.Scan() {
		if strings.HasPrefix(lines.Text(), hub.AuthorizeURL()) {
			address = lines.Text()
		}
	}

	rest := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(said)
		rest <- string(b)
	}()
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}

	res.Body.Close()
	// A wrong address first, then the right one.
	if _, err := io.WriteString(typed, "https://example.com/nothing\n\n"+res.Header.Get("Location")+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	typed.Close()
	if got := <-rest; !strings.Contains(got, "Try again: ") || !strings.Contains(got, "Logged in: instance 123") {
		t.Errorf("it said %q", got)
	}

	var out bytes.Buffer
	if err := logout(t.Context(), appWith(nil, io.Discard, &out), cfg, "cortex"); err != nil || out.String() != "Logged out.\n" {
		t.Errorf("%v, it said %q", err, out.String())
	}
	if n := len(hub.Revoked()); n != 1 {
		t.Errorf("%d refresh tokens were revoked, want 1", n)
	}
}

// unusedAddress returns an address on which nobody listens.
func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	return l.Addr().String()
}
