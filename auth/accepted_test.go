package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"backburn/auth"
	"backburn/auth/authtest"
)

// TestRefusedTokenThatWorkedIsRenewedAtOnce covers tokens that are revoked or replaced soon
// after the service took them. Only tokens that never worked open the loop breaker.
func TestRefusedTokenThatWorkedIsRenewedAtOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		steps func(t *testing.T, s *auth.Source, first string)
		want  error // of the next Token
	}{
		{"never used before", func(t *testing.T, s *auth.Source, first string) {
			s.Rejected(first)
		}, auth.ErrCredentialRejected},
		{"accepted once", func(t *testing.T, s *auth.Source, first string) {
			s.Accepted(first)
			s.Rejected(first)
		}, nil},
		{"accepted hundreds of times, refused many times", func(t *testing.T, s *auth.Source, first string) {
			for range 300 {
				s.Accepted(first)
			}

			for range 20 {
				s.Rejected(first)
			}
		}, nil},
		{"accepted by a call that ends after the refusal of another", func(t *testing.T, s *auth.Source, first string) {
			s.Rejected(first)
			s.Accepted(first)
		}, nil},
		{"another token was accepted", func(t *testing.T, s *auth.Source, first string) {
			s.Accepted("a token from somewhere else")
			s.Rejected(first)
		}, auth.ErrCredentialRejected},
		{"the next one is refused unused", func(t *testing.T, s *auth.Source, first string) {
			s.Accepted(first)
			s.Rejected(first)
			next := token(t, s)
			s.Rejected(next)
		}, auth.ErrCredentialRejected},
		{"the next one works too", func(t *testing.T, s *auth.Source, first string) {
			s.Accepted(first)
			s.Rejected(first)
			next := token(t, s)
			s.Accepted(next)
			s.Rejected(next)
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := source(t, wildfireProfile(), newEndpoint(nil))
				tt.steps(t, s, token(t, s))

				began := time.Now()
				_, err := s.Token(t.Context())

				if !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("took %v, want no pause", took)
				}
			})
		})
	}
}

// TestATokenRefusedNearItsEndIsRenewed checks that an expired token does not count as a bad
// credential, however short its life.
func TestATokenRefusedNearItsEndIsRenewed(t *testing.T) {
	t.Parallel()
	for _, life := range []string{"1", "2", "4", "5", "20", "900"} {
		t.Run(life+" seconds", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(func(n int, _ tokenRequest) (*http.Response, error) { return granted(n, life), nil })
				e.delay = 0
				s := source(t, wildfireProfile(), e)
				seconds, _ := time.ParseDuration(life + "s")
				for n := 1; n <= 5; n++ {
					got := token(t, s)
					time.Sleep(seconds - 10*time.Millisecond) // the service's clock is ahead

					s.Rejected(got)

					if next := token(t, s); next == got || e.count() != n+1 {
						t.Fatalf("got %q after %d requests, want a new token", next, e.count())
					}
				}
			})
		})
	}
}

// TestRenewalsOfRefusedTokensAreLimited limits the requests caused by a service that accepts each
// token once and then refuses it.
func TestRenewalsOfRefusedTokensAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		e.delay = 0
		s := source(t, wildfireProfile(), e)

		for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(10 * time.Millisecond) {
			got := token(t, s)
			s.Accepted(got)
			s.Rejected(got)
		}

		if n := e.count(); n < 20 || n > 10*60/5+10 {
			t.Errorf("%d token requests in ten minutes, want at most one in five seconds", n)
		}
	})
}

func TestAcceptedIsSharedInTheFleet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		steps func(a, b *auth.Source, first string)
	}{
		{"known before the refusal", func(a, b *auth.Source, first string) {
			a.Accepted(first)
			synctest.Wait()
			b.Rejected(first)
		}},
		{"known after the refusal", func(a, b *auth.Source, first string) {
			b.Rejected(first)
			synctest.Wait()
			a.Accepted(first)
		}},
		{"at the same time", func(a, b *auth.Source, first string) {
			a.Accepted(first)
			b.Rejected(first)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e, b := newEndpoint(nil), authtest.NewBucket()
				sources := fleet(t, 3, wildfireProfile(), e, b)
				first := tokensOfAll(t, sources)[0]

				tt.steps(sources[0], sources[1], first)
				synctest.Wait()

				got, err := sources[1].Token(t.Context())
				if err != nil || got != "token-2" {
					t.Fatalf("got %q, %v; want token-2 at once", got, err)
				}

				for _, s := range sources {
					s.Rejected(first)
				}
				if all := tokensOfAll(t, sources); len(all) != 1 || e.count() != 2 {
					t.Errorf("tokens %v after %d requests, want one after 2", all, e.count())
				}
			})
		})
	}
}

// TestFleetWritesOncePerAcceptedToken checks that a fleet does not write about every call.
func TestFleetWritesOncePerAcceptedToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(nil), authtest.NewBucket()
		sources := fleet(t, 8, wildfireProfile(), e, b)
		first := tokensOfAll(t, sources)[0]
		before := len(b.History())

		for range 100 {
			for _, s := range sources {
				s.Accepted(first)
			}

			synctest.Wait()
		}

		if n := len(b.History()) - before; n != 1 {
			t.Errorf("%d writes about one accepted token, want 1", n)
		}
	})
}

func TestWaitReady(t *testing.T) {
	t.Parallel()
	refusing := func(n int, _ tokenRequest) (*http.Response, error) {
		if n == 1 {
			return reply(503, "", "Retry-After", "60"), nil
		}

		return granted(n, "900"), nil
	}

	t.Run("without a cool-down it returns at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := source(t, wildfireProfile(), newEndpoint(nil))
			began := time.Now()
			if err := s.WaitReady(t.Context()); err != nil || time.Since(began) != 0 {
				t.Errorf("%v after %v, want nil at once", err, time.Since(began))
			}

			token(t, s)
			if err := s.WaitReady(t.Context()); err != nil || time.Since(began) != time.Second {
				t.Errorf("%v after %v, want nil at once", err, time.Since(began))
			}
		})
	})

	t.Run("it ends with the cool-down", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e := newEndpoint(refusing)
			s := source(t, wildfireProfile(), e)
			_, _ = s.Token(t.Context())
			began := time.Now()
			if err := s.WaitReady(t.Context()); err != nil || time.Since(began) != time.Minute {
				t.Errorf("%v after %v, want nil after the minute of Retry-After", err, time.Since(began))
			}
			if got := token(t, s); got != "token-2" || e.count() != 2 {
				t.Errorf("got %q after %d requests", got, e.count())
			}
		})
	})

	t.Run("it ends with a token of the fleet", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			bucket := authtest.NewBucket()
			unlucky := newEndpoint(func(int, tokenRequest) (*http.Response, error) { return nil, fmt.Errorf("no route") })
			a := source(t, wildfireProfile(), unlucky, auth.WithBucket(bucket))
			for range 8 { // until the cool-down is a long one
				_, _ = a.Token(t.Context())
				_ = a.WaitReady(t.Context())
			}

			_, _ = a.Token(t.Context())
			began := time.Now()

			b := source(t, wildfireProfile(), newEndpoint(nil), auth.WithBucket(bucket))
			token(t, b)

			if err := a.WaitReady(t.Context()); err != nil || time.Since(began) > 2*time.Second {
				t.Errorf("%v after %v, want nil with the other's token", err, time.Since(began))
			}
			if got := token(t, a); got != "token-1" {
				t.Errorf("got %q, want the other's token", got)
			}
		})
	})

	t.Run("many wait and all are woken", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := source(t, wildfireProfile(), newEndpoint(nil))
			first := token(t, s)
			s.Rejected(first)
			began := time.Now()
			go func() {
				time.Sleep(time.Second)
				s.Accepted(first)
			}()
			callers(50, func(int) {
				if err := s.WaitReady(t.Context()); err != nil || time.Since(began) != time.Second {
					t.Errorf("%v after %v, want nil with the acceptance", err, time.Since(began))
				}
			})
		})
	})

	t.Run("it ends with the Source", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := source(t, wildfireProfile(), newEndpoint(refusing))
			_, _ = s.Token(t.Context())
			go func() {
				time.Sleep(time.Second)
				_ = s.Close()
			}()
			if err := s.WaitReady(t.Context()); !errors.Is(err, auth.ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
		})
	})
}

// TestReportDuringARenewalKeepsTheNewToken checks that a process still shares its new token if
// another process updates the record of the old one during the request.
func TestReportDuringARenewalKeepsTheNewToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(nil), authtest.NewBucket()
		sources := fleet(t, 3, wildfireProfile(), e, b)
		first := tokensOfAll(t, sources)[0]
		time.Sleep(5 * time.Minute)
		e.delay = 10 * time.Second

		sources[0].Rejected(first)
		go func() {
			time.Sleep(5 * time.Second)
			sources[1].Accepted(first) // a call that began before
		}()
		token(t, sources[0])
		synctest.Wait()

		if all := tokensOfAll(t, sources); len(all) != 1 || e.count() != 2 {
			t.Errorf("tokens %v after %d requests, want one after 2", all, e.count())
		}
	})
}
