package auth_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backburn/auth"
)

// source returns a Source that requests tokens from e and is closed at the end of the test.
func source(t *testing.T, p auth.Profile, e *endpoint, opts ...auth.Option) *auth.Source {
	t.Helper()
	s, err := auth.New(p, append([]auth.Option{auth.WithTransport(e)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})

	return s
}

func token(t *testing.T, s *auth.Source) string {
	t.Helper()
	got, err := s.Token(t.Context())
	if err != nil {
		t.Error(err)
	}

	return got
}

// callers runs n calls of f at the same time and waits for them.
func callers(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func TestFiftyCallersMakeOneRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		s := source(t, wildfireProfile(), e)
		callers(50, func(int) {
			if got := token(t, s); got != "token-1" {
				t.Errorf("got %q, want token-1", got)
			}
		})
		if e.count() != 1 {
			t.Errorf("%d token requests, want 1", e.count())
		}
	})
}

func TestFiftyRejectionsCauseOneRenewal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		report func(i int) time.Duration // when caller i says that it saw a 401
	}{
		{"together", func(int) time.Duration { return 0 }},
		{"spread over five seconds", func(i int) time.Duration { return time.Duration(i) * 100 * time.Millisecond }},
		{"some after the renewal", func(i int) time.Duration { return time.Duration(i%5) * 10 * time.Second }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(nil)
				s := source(t, wildfireProfile(), e)
				old := token(t, s)
				time.Sleep(5 * time.Minute)
				callers(50, func(i int) {
					time.Sleep(tt.report(i))
					s.Rejected(old)
					if got := token(t, s); got != "token-2" {
						t.Errorf("got %q after the rejection, want token-2", got)
					}
				})
				if e.count() != 2 {
					t.Errorf("%d token requests, want 2: the first and one renewal", e.count())
				}
			})
		})
	}
}

func TestStaleTokenIsServedWhileOneRenewalRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		s := source(t, wildfireProfile(), e)
		token(t, s)
		time.Sleep(15*time.Minute - 30*time.Second) // inside any window
		began := time.Now()
		callers(50, func(int) {
			if got := token(t, s); got != "token-1" {
				t.Errorf("got %q while stale, want token-1", got)
			}
		})
		if waited := time.Since(began); waited != 0 {
			t.Errorf("callers waited %v for a renewal in the background", waited)
		}

		time.Sleep(2 * time.Second)
		if got := token(t, s); got != "token-2" || e.count() != 2 {
			t.Errorf("got %q after %d requests, want token-2 after 2", got, e.count())
		}
	})
}

func TestOldTokenIsServedWhileRenewalFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(func(n int, _ tokenRequest) (*http.Response, error) {
			if n == 1 {
				return granted(n, "900"), nil
			}

			return reply(503, "<html>"), nil
		})
		s := source(t, wildfireProfile(), e)
		token(t, s)
		for time.Since(e.all()[0].at) < 898*time.Second {
			if got := token(t, s); got != "token-1" {
				t.Fatalf("got %q, want token-1", got)
			}

			time.Sleep(100 * time.Millisecond)
		}

		if n := e.count(); n < 5 || n > 60 {
			t.Errorf("%d token requests, want a few with growing pauses", n)
		}

		time.Sleep(time.Minute)
		if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrTemporary) {
			t.Errorf("after the expiry: %v, want ErrTemporary", err)
		}
	})
}

func TestFailingEndpointIsAskedOncePerCooldown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(func(int, tokenRequest) (*http.Response, error) { return reply(500, ""), nil })
		s := source(t, wildfireProfile(), e)
		callers(50, func(int) {
			_, err := s.Token(t.Context())
			var ae *auth.AuthError
			if !errors.As(err, &ae) || ae.Status != 500 || ae.RetryAfter <= 0 || !errors.Is(err, auth.ErrTemporary) {
				t.Errorf("got %v", err)
			}
		})
		if e.count() != 1 {
			t.Fatalf("%d token requests, want 1 for all callers", e.count())
		}

		var ae *auth.AuthError
		for step := 2; step < 9; step++ {
			_, err := s.Token(t.Context())
			if !errors.As(err, &ae) || e.count() != step-1 {
				t.Fatalf("step %d: %v after %d requests", step, err, e.count())
			}

			time.Sleep(ae.RetryAfter)
			callers(50, func(int) { _, _ = s.Token(t.Context()) })
			if e.count() != step {
				t.Fatalf("step %d: %d token requests", step, e.count())
			}
		}
	})
}

func TestWaiterGivesUpOnItsOwnContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		e.delay = 10 * time.Second
		s := source(t, wildfireProfile(), e)
		began := time.Now()
		var impatient, patient time.Duration
		callers(2, func(i int) {
			if i == 0 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want the caller's own deadline", err)
				}

				impatient = time.Since(began)

				return
			}

			token(t, s)
			patient = time.Since(began)
		})
		if impatient != time.Second || patient != 10*time.Second || e.count() != 1 {
			t.Errorf("gave up after %v, was served after %v, %d requests", impatient, patient, e.count())
		}
	})
}

func TestRefusedFreshTokensDoubleTheCooldown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		s := source(t, wildfireProfile(), e)
		got := token(t, s)
		want := 30 * time.Second
		for probe := 1; probe <= 7; probe++ {
			s.Rejected(got)
			_, err := s.Token(t.Context())
			var ae *auth.AuthError
			if !errors.Is(err, auth.ErrCredentialRejected) || !errors.As(err, &ae) || ae.RetryAfter != want {
				t.Fatalf("probe %d: got %v, want ErrCredentialRejected for %v", probe, err, want)
			}
			if s.Status().Ready || s.Status().CooldownUntil.IsZero() {
				t.Errorf("probe %d: status %+v, want not ready and a cool-down", probe, s.Status())
			}

			time.Sleep(want - time.Second)
			if _, err := s.Token(t.Context()); err == nil || e.count() != probe {
				t.Fatalf("probe %d: %v and %d requests inside the cool-down", probe, err, e.count())
			}

			time.Sleep(time.Second)
			callers(50, func(int) { token(t, s) })
			got = token(t, s)
			if e.count() != probe+1 {
				t.Fatalf("probe %d: %d token requests, want one", probe, e.count())
			}

			want = min(2*want, 10*time.Minute)
		}

		// The key became valid: the token works, and the next refusal is an ordinary one.
		time.Sleep(2 * time.Minute)
		s.Rejected(got)
		next := token(t, s)
		if next == got || !s.Status().Ready {
			t.Error("no renewal after recovery")
		}

		// The refusals before the recovery no longer count.
		s.Rejected(next)
		var ae *auth.AuthError
		if _, err := s.Token(t.Context()); !errors.As(err, &ae) || ae.RetryAfter != 30*time.Second {
			t.Errorf("first refusal of a fresh token after recovery: %v, want 30s", err)
		}
	})
}

func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		e.delay = time.Hour
		s := source(t, wildfireProfile(), e)
		go func() {
			time.Sleep(time.Second)
			_ = s.Close()
		}()
		if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

// TestTheSecondRefusalInARowOpensTheLoopBreaker refuses two tokens, neither soon after its issue,
// but the second soon after the first.
func TestTheSecondRefusalInARowOpensTheLoopBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		s := source(t, wildfireProfile(), e)
		first := token(t, s)
		time.Sleep(5 * time.Minute)
		s.Rejected(first)
		second := token(t, s)
		time.Sleep(2 * time.Minute)
		s.Rejected(second)
		if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrCredentialRejected) || e.count() != 2 {
			t.Errorf("%v after %d requests, want ErrCredentialRejected after 2", err, e.count())
		}
	})
}
