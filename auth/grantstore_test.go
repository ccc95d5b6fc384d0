package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backburn/auth"
	"backburn/auth/authtest"
	"backburn/auth/cortex"
)

// TestMachinesShareAGrantThroughTheBucket runs two machines without a grant file.
func TestMachinesShareAGrantThroughTheBucket(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, func(c *authtest.Config) { c.Roll, c.Strict = true, true })
	grants, tokens := authtest.NewBucket(), authtest.NewBucket()
	p := cortexProfile(t, srv)
	p.GrantFile = ""
	login(t, p, auth.WithGrantsBucket(grants))
	a := open(t, p, auth.WithGrantsBucket(grants), auth.WithBucket(tokens), auth.WithFreshFor(0))
	b := open(t, p, auth.WithGrantsBucket(grants), auth.WithBucket(tokens), auth.WithFreshFor(0))
	for round := range 5 {
		got := token(t, a)
		if token(t, b) != got || len(srv.Requests()) != round+2 {
			t.Errorf("round %d: another token after %d requests", round, len(srv.Requests()))
		}

		callers(8, func(i int) {
			s := []*auth.Source{a, b}[i%2]
			s.Rejected(got)
			token(t, s)
		})
	}

	if n := a.Status().GrantGeneration + b.Status().GrantGeneration; n < 7 {
		t.Errorf("generations %d in sum, want one for each roll", n)
	}
}

func TestOneCopyOfTheGrantIsEnough(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, func(c *authtest.Config) { c.Roll = true })
	grants := authtest.NewBucket()
	p := cortexProfile(t, srv)
	login(t, p, auth.WithGrantsBucket(grants))
	t.Run("the file is lost", func(t *testing.T) {
		if err := os.Remove(p.GrantFile); err != nil {
			t.Fatal(err)
		}

		token(t, open(t, p, auth.WithGrantsBucket(grants)))
	})
	t.Run("the bucket is unreachable", func(t *testing.T) {
		grants.SetDown(true)
		defer grants.SetDown(false)
		token(t, open(t, p, auth.WithGrantsBucket(grants)))
	})
	t.Run("the bucket has an old grant", func(t *testing.T) { // it missed the roll above
		s := open(t, p, auth.WithGrantsBucket(grants))
		token(t, s)
		if st := s.Status(); st.GrantGeneration < 3 {
			t.Errorf("generation %d", st.GrantGeneration)
		}
	})
	t.Run("the file is damaged", func(t *testing.T) {
		overwrite(t, p.GrantFile, "backburn grant v1\nAAAA")
		token(t, open(t, p, auth.WithGrantsBucket(grants)))
	})
	t.Run("neither can be read", func(t *testing.T) {
		overwrite(t, p.GrantFile, "something else")
		grants.SetDown(true)
		defer grants.SetDown(false)
		_, err := open(t, p, auth.WithGrantsBucket(grants)).Token(t.Context())
		if !errors.Is(err, auth.ErrTemporary) || !strings.Contains(err.Error(), "grant file") || !strings.Contains(err.Error(), "grants bucket") {
			t.Errorf("got %v, want ErrTemporary that names both", err)
		}
	})
}

// TestARefreshTokenThatCannotBeStoredIsKept makes storing fail after the answer. The access token
// is returned, the failure is logged and counted, the server is not asked again, and storing is
// retried until it succeeds.
func TestARefreshTokenThatCannotBeStoredIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		grants := authtest.NewBucket()
		e := newEndpoint(func(n int, r tokenRequest) (*http.Response, error) {
			if n > 1 && r.form.Get("grant_type") != "refresh_token" {
				return reply(400, `{"error":"invalid_request"}`), nil
			}

			return reply(200, `{"access_token":"token-`+string(rune('0'+n))+`","refresh_token":"canary-refresh-`+string(rune('0'+n))+`","expires_in":"3600"}`), nil
		})
		p := auth.Profile{
			Name: "hub", Kind: auth.KindCortex, ClientID: "app-1", ClientSecret: auth.NewSecret("canary-secret-0b7e"), Scope: "s",
			RedirectURL: "http://127.0.0.1:8976/callback", InstanceID: "1", Region: "europe",
		}
		l, err := auth.NewLogin(p, cortex.HubParams{}, auth.WithTransport(e), auth.WithGrantsBucket(grants))
		if err != nil {
			t.Fatal(err)
		}

		state := strings.SplitN(strings.SplitN(l.Begin(), "state=", 2)[1], "&", 2)[0]
		if _, err := l.Complete(t.Context(), p.RedirectURL+"?code=c&state="+state); err != nil {
			t.Fatal(err)
		}

		registry := prometheus.NewRegistry()
		s := source(t, p, e, auth.WithGrantsBucket(grants), auth.WithMetrics(registry), auth.WithPersistHook(func(stage string) {
			if stage == "response" {
				grants.SetDown(true)
			}
		}))
		if got := token(t, s); got != "token-2" {
			t.Fatalf("got %q", got)
		}
		if st := s.Status(); !st.GrantUnsaved || !st.Ready {
			t.Errorf("status %+v, want ready with an unsaved grant", st)
		}

		time.Sleep(2 * time.Hour) // the access token has expired, and the store still fails
		_, err = s.Token(t.Context())
		if !errors.Is(err, auth.ErrTemporary) || e.count() != 2 {
			t.Errorf("got %v after %d requests, want ErrTemporary and no further roll", err, e.count())
		}
		if !strings.Contains(err.Error(), "storing the grant") {
			t.Errorf("got %v, want an error that says what failed", err)
		}

		grants.SetDown(false)
		time.Sleep(10 * time.Second)
		if st := s.Status(); st.GrantUnsaved {
			t.Errorf("status %+v, want the grant saved", st)
		}

		time.Sleep(time.Minute)
		if got := token(t, s); got != "token-3" || e.all()[2].form.Get("refresh_token") != "canary-refresh-2" {
			t.Errorf("got %q with %q", got, e.all()[2].form.Get("refresh_token"))
		}
		if n := values(t, registry)["backburn_auth_grant_save_errors_total{profile=hub}"]; n < 2 {
			t.Errorf("%v save errors counted", n)
		}
	})
}

func TestAGrantSurvivesANewClientSecret(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, func(c *authtest.Config) { c.Roll = false })
	p := cortexProfile(t, srv)
	p.ClientSecretFile, p.ClientSecret = secretFileOf(t, "canary-secret-0b7e"), auth.Secret{}
	login(t, p)
	running := open(t, p, auth.WithFreshFor(0))
	old := token(t, running)
	srv.SetSecret("canary-refresh")
	overwrite(t, p.ClientSecretFile, "canary-refresh")
	running.Rejected(old)
	token(t, running)
	token(t, open(t, p)) // a Source that has never seen the old secret

	// A process that starts after the rotation, while no process ran during it.
	srv.SetSecret("third")
	overwrite(t, p.ClientSecretFile, "third")
	if _, err := open(t, p).Token(t.Context()); !errors.Is(err, auth.ErrReauthorize) || !strings.Contains(err.Error(), "client secret") {
		t.Errorf("got %v, want ErrReauthorize that says why", err)
	}

	// With a cache key, the sealed grant does not depend on the client secret.
	p.CacheKeyFile = secretFileOf(t, "canary-api-key-51ce")
	login(t, p)
	srv.SetSecret("fourth")
	overwrite(t, p.ClientSecretFile, "fourth")
	token(t, open(t, p))
}

func TestGrantFileIsPrivate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no permission bits on Windows")
	}

	tests := []struct {
		name    string
		spoil   func(t *testing.T, path string)
		problem string
	}{
		{"readable by others", func(t *testing.T, path string) { chmod(t, path, 0o644) }, "chmod 600"},
		{"a link", func(t *testing.T, path string) {
			if err := os.Rename(path, path+".real"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path+".real", path); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := cortexServer(t, nil)
			p := cortexProfile(t, srv)
			login(t, p)
			for name, mode := range map[string]os.FileMode{p.GrantFile: 0o600, filepath.Dir(p.GrantFile): 0o700 | os.ModeDir} {
				if info, err := os.Stat(name); err != nil || info.Mode() != mode {
					t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, mode)
				}
			}

			tt.spoil(t, p.GrantFile)
			if _, err := open(t, p).Token(t.Context()); err == nil || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("got %v, want an error that says %q", err, tt.problem)
			}
		})
	}

	t.Run("folder writable by others", func(t *testing.T) {
		t.Parallel()
		srv := cortexServer(t, nil)
		p := cortexProfile(t, srv)
		if err := os.Mkdir(filepath.Dir(p.GrantFile), 0o700); err != nil {
			t.Fatal(err)
		}

		chmod(t, filepath.Dir(p.GrantFile), 0o777)
		l, err := auth.NewLogin(p, cortex.HubParams{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = l.Complete(t.Context(), browse(t, l.Begin())); err == nil || !strings.Contains(err.Error(), "chmod 700") {
			t.Errorf("got %v", err)
		}
	})
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestRefreshTokenIsDurableBeforeUse checks at each stage of storing a rolled refresh token that
// the access token has not been returned yet.
func TestRefreshTokenIsDurableBeforeUse(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, func(c *authtest.Config) { c.Roll = true })
	p := cortexProfile(t, srv)
	login(t, p)
	var s *auth.Source
	var stages []string
	s = open(t, p, auth.WithPersistHook(func(stage string) {
		stages = append(stages, stage)
		if st := s.Status(); st.Ready {
			t.Errorf("the access token is available at stage %q", stage)
		}
	}))
	token(t, s)
	if got := strings.Join(stages, " "); got != "response written synced renamed durable" {
		t.Errorf("stages %q", got)
	}
}

// TestARunningProcessFindsALaterLogin: a process that runs without a grant finds the one of a later
// login.
func TestARunningProcessFindsALaterLogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		grants, tokens := authtest.NewBucket(), authtest.NewBucket()
		e := newEndpoint(func(_ int, r tokenRequest) (*http.Response, error) {
			if r.form.Get("grant_type") == "refresh_token" && r.form.Get("refresh_token") != "good" {
				return reply(400, `{"error":"invalid_grant"}`), nil
			}

			return reply(200, `{"access_token":"a","refresh_token":"good","expires_in":"3600"}`), nil
		})
		p := auth.Profile{
			Name: "hub", Kind: auth.KindCortex, ClientID: "app-1", ClientSecret: auth.NewSecret("canary-secret-0b7e"), Scope: "s",
			RedirectURL: "http://127.0.0.1:8976/callback", InstanceID: "1", Region: "europe",
		}
		opts := []auth.Option{auth.WithGrantsBucket(grants), auth.WithBucket(tokens)}
		s := source(t, p, e, opts...)
		for range 30 {
			if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrReauthorize) {
				t.Fatalf("got %v, want ErrReauthorize", err)
			}

			time.Sleep(30 * time.Second)
		}

		l, err := auth.NewLogin(p, cortex.HubParams{}, append(opts, auth.WithTransport(e))...)
		if err != nil {
			t.Fatal(err)
		}

		state := strings.SplitN(strings.SplitN(l.Begin(), "state=", 2)[1], "&", 2)[0]
		if _, err := l.Complete(t.Context(), p.RedirectURL+"?code=c&state="+state); err != nil {
			t.Fatal(err)
		}

		time.Sleep(time.Minute)
		token(t, s)
	})
}

// TestRefreshesOfOneMachineDoNotOverlap runs many Sources on one grant file, against a server that
// accepts each refresh token once.
func TestRefreshesOfOneMachineDoNotOverlap(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, func(c *authtest.Config) { c.Roll, c.Strict = true, true })
	p := cortexProfile(t, srv)
	login(t, p)
	sources := make([]*auth.Source, 12)
	for i := range sources {
		sources[i] = open(t, p)
	}
	callers(len(sources), func(i int) { token(t, sources[i]) })
	for i, r := range srv.Requests() {
		if r.Status != http.StatusOK {
			t.Errorf("request %d was answered %d", i, r.Status)
		}
	}
}

// TestNewerGrantIsNotOverwritten: a machine that could not reach the bucket refreshes with an old
// grant, while another one has a newer grant.
func TestAGrantThatSomebodyReplacedIsNotSaved(t *testing.T) {
	t.Parallel()
	e := newImmediate()
	e.answer = func(n int, _ tokenRequest) (*http.Response, error) {
		return reply(200, fmt.Sprintf(`{"access_token":"token-%d","refresh_token":"refresh-%d","expires_in":"3600"}`, n, n)), nil
	}
	grants := &breakable{Bucket: authtest.NewBucket()}
	p := profileOf(t, auth.KindCortex)
	p.InstanceID, p.RedirectURL = "1", "http://127.0.0.1:8976/callback"
	p.GrantFile = ""
	logIn := func() {
		l, err := auth.NewLogin(p, cortex.HubParams{}, auth.WithTransport(e), auth.WithGrantsBucket(grants.Bucket))
		if err != nil {
			t.Fatal(err)
		}

		state := strings.SplitN(strings.SplitN(l.Begin(), "state=", 2)[1], "&", 2)[0]
		if _, err := l.Complete(t.Context(), p.RedirectURL+"?code=c&state="+state); err != nil {
			t.Fatal(err)
		}
	}
	logIn()

	s := open(t, p, auth.WithTransport(e), auth.WithGrantsBucket(grants), auth.WithFreshFor(0), auth.WithPersistHook(func(stage string) {
		if stage == "response" {
			grants.down.Store(true)
		}
	}))
	got := token(t, s)
	if st := s.Status(); !st.GrantUnsaved {
		t.Fatalf("status %+v, want an unsaved grant", st)
	}

	logIn()
	logIn()
	grants.down.Store(false)
	s.Rejected(got)
	token(t, s)
	all := e.all()
	if got := all[len(all)-1].form.Get("refresh_token"); got != "refresh-4" {
		t.Errorf("used %q, want the refresh token of the last login", got)
	}
}

// breakable is a bucket that one process cannot reach while it is down.
type breakable struct {
	auth.Bucket
	down atomic.Bool
}

func (b *breakable) Get(ctx context.Context, key string) (auth.Entry, error) {
	if b.down.Load() {
		return auth.Entry{}, authtest.ErrDown
	}
	return b.Bucket.Get(ctx, key)
}

// TestTheTokenOfAnotherMachineIsReplaced: while a refresh is refused, another machine stores two
// newer refresh tokens. The refresh with the newest one is a roll of that one.
func TestTheTokenOfAnotherMachineIsReplaced(t *testing.T) {
	t.Parallel()
	grants := authtest.NewBucket()
	p := profileOf(t, auth.KindCortex)
	p.InstanceID, p.RedirectURL = "1", "http://127.0.0.1:8976/callback"
	p.GrantFile = ""
	e := newImmediate()
	refresh := func() { token(t, open(t, p, auth.WithTransport(e), auth.WithGrantsBucket(grants))) }
	e.answer = func(n int, _ tokenRequest) (*http.Response, error) {
		if n == 2 {
			refresh()
			refresh()

			return reply(400, `{"error":"invalid_grant"}`), nil
		}

		return reply(200, fmt.Sprintf(`{"access_token":"token-%d","refresh_token":"refresh-%d","expires_in":"3600"}`, n, n)), nil
	}
	l, err := auth.NewLogin(p, cortex.HubParams{}, auth.WithTransport(e), auth.WithGrantsBucket(grants))
	if err != nil {
		t.Fatal(err)
	}

	state := strings.SplitN(strings.SplitN(l.Begin(), "state=", 2)[1], "&", 2)[0]
	if _, err := l.Complete(t.Context(), p.RedirectURL+"?code=c&state="+state); err != nil {
		t.Fatal(err)
	}

	refresh()
	refresh()
	var used []string
	for _, r := range e.all() {
		used = append(used, r.form.Get("refresh_token"))
	}
	if got := strings.Join(used, " "); got != " refresh-1 refresh-1 refresh-3 refresh-4 refresh-5" {
		t.Errorf("used %q", got)
	}
}

func TestNewerGrantIsNotOverwritten(t *testing.T) {
	t.Parallel()
	e := newImmediate()
	e.answer = func(n int, _ tokenRequest) (*http.Response, error) {
		return reply(200, fmt.Sprintf(`{"access_token":"token-%d","refresh_token":"refresh-%d","expires_in":"3600"}`, n, n)), nil
	}
	grants := authtest.NewBucket()
	p := profileOf(t, auth.KindCortex)
	p.InstanceID, p.RedirectURL = "1", "http://127.0.0.1:8976/callback"
	l, err := auth.NewLogin(p, cortex.HubParams{}, auth.WithTransport(e), auth.WithGrantsBucket(grants))
	if err != nil {
		t.Fatal(err)
	}

	state := strings.SplitN(strings.SplitN(l.Begin(), "state=", 2)[1], "&", 2)[0]
	if _, err := l.Complete(t.Context(), p.RedirectURL+"?code=c&state="+state); err != nil {
		t.Fatal(err)
	}

	elsewhere := p
	elsewhere.GrantFile = ""
	bucketOnly := func() { token(t, open(t, elsewhere, auth.WithTransport(e), auth.WithGrantsBucket(grants))) }
	bucketOnly() // uses refresh-1, stores refresh-2
	bucketOnly() // uses refresh-2, stores refresh-3
	grants.SetDown(true)
	token(t, open(t, p, auth.WithTransport(e), auth.WithGrantsBucket(grants), auth.WithPersistHook(func(stage string) {
		if stage == "response" { // it used refresh-1 from the file, and got refresh-4
			grants.SetDown(false)
		}
	})))
	bucketOnly()
	var used []string
	for _, r := range e.all() {
		used = append(used, r.form.Get("refresh_token"))
	}
	if got := strings.Join(used, " "); got != " refresh-1 refresh-2 refresh-1 refresh-3" {
		t.Errorf("used %q", got)
	}
}
