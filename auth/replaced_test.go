package auth_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"backburn/auth"
	"backburn/auth/authtest"
)

// ready waits until s can get a token, for less than the length of a cool-down, and returns it.
func ready(t *testing.T, s *auth.Source) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	if err := s.WaitReady(ctx); err != nil {
		t.Fatalf("WaitReady: %v, want the cool-down to end", err)
	}

	return token(t, s)
}

// TestLoginEndsTheCooldown logs in while all processes of a fleet wait for that.
func TestLoginEndsTheCooldown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		file   bool // a grant file
		grants bool // a bucket for grants
		shared bool // a bucket for tokens

		revoked bool // a grant is stored, but the server has revoked it
	}{
		{"one process with a file", true, false, false, false},
		{"one process with a bucket", false, true, false, false},
		{"one process, revoked", true, true, false, true},
		{"a fleet with both buckets", false, true, true, false},
		{"a fleet with both buckets, revoked", false, true, true, true},
		{"a fleet with everything, revoked", true, true, true, true},
		{"a fleet with a file and shared tokens, revoked", true, false, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := cortexServer(t, nil)
			p := cortexProfile(t, srv)
			if !tt.file {
				p.GrantFile = ""
			}

			var opts []auth.Option
			if tt.grants {
				opts = append(opts, auth.WithGrantsBucket(authtest.NewBucket()))
			}
			if tt.shared {
				opts = append(opts, auth.WithBucket(authtest.NewBucket()))
			}

			if tt.revoked {
				login(t, p, opts...)
				srv.RevokeGrant(srv.Issued()[1])
			}

			processes := []*auth.Source{open(t, p, opts...)}
			if tt.shared {
				processes = append(processes, open(t, p, opts...), open(t, p, opts...))
			}

			for _, s := range processes {
				if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrReauthorize) {
					t.Fatalf("before the login: %v, want ErrReauthorize", err)
				}
			}

			login(t, p, opts...)
			before := len(srv.Requests())

			if tt.shared { // a process that starts after the login
				processes = append(processes, open(t, p, opts...))
			}

			first := ready(t, processes[len(processes)-1])
			for _, s := range processes {
				if got := ready(t, s); got != first {
					t.Error("the processes have different tokens")
				}
				if st := s.Status(); !st.Ready || st.LastError != "" {
					t.Errorf("status %+v, want ready without an error", st)
				}
			}

			if n := len(srv.Requests()) - before; n != 1 {
				t.Errorf("%d token requests after the login, want 1", n)
			}
		})
	}
}

// TestALoginClearsTheErrorWithoutACallOfToken does not call Token after the login.
func TestALoginClearsTheErrorWithoutACallOfToken(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, nil)
	p := cortexProfile(t, srv)
	s := open(t, p)
	_, _ = s.Token(t.Context())
	login(t, p)

	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	for s.Status().LastError != "" && ctx.Err() == nil {
		_ = s.WaitReady(ctx)
	}
	if st := s.Status(); st.LastError != "" {
		t.Errorf("status after the login: %q", st.LastError)
	}
}

func TestLogoutDuringACooldown(t *testing.T) {
	t.Parallel()
	srv := cortexServer(t, nil)
	p := cortexProfile(t, srv)
	s := open(t, p)
	for range 2 {
		if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrReauthorize) {
			t.Fatalf("%v, want ErrReauthorize", err)
		}
		if err := auth.Logout(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplacedSecretWakesTheFleet replaces the secret file while no process calls Token.
func TestReplacedSecretWakesTheFleet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := wildfireProfile()
		p.ClientSecret, p.ClientSecretFile = auth.Secret{}, secretFileOf(t, "the old one")
		e := newEndpoint(func(n int, r tokenRequest) (*http.Response, error) {
			if r.form.Get("client_secret") != "the new one" {
				return reply(401, `{"error":"invalid_client"}`), nil
			}

			return granted(n, "900"), nil
		})
		sources := fleet(t, 3, p, e, authtest.NewBucket())
		for _, s := range sources {
			if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrCredentialRejected) {
				t.Fatalf("got %v", err)
			}
		}

		began := time.Now()

		overwrite(t, p.ClientSecretFile, "the new one")

		for _, s := range sources {
			if err := s.WaitReady(t.Context()); err != nil {
				t.Error(err)
			}
		}

		if got := tokensOfAll(t, sources); len(got) != 1 {
			t.Errorf("tokens %v, want one", got)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v, want the cool-down to end", took)
		}
	})
}
