package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backburn/auth"
	"backburn/auth/authtest"
)

// fleet makes n Sources that share a bucket, as n processes do.
func fleet(t *testing.T, n int, p auth.Profile, e *endpoint, b *authtest.Bucket, opts ...auth.Option) []*auth.Source {
	t.Helper()
	out := make([]*auth.Source, n)
	for i := range out {
		out[i] = source(t, p, e, append([]auth.Option{auth.WithBucket(b)}, opts...)...)
	}

	return out
}

// tokensOfAll calls Token 25 times on each Source at the same time, and returns the distinct
// tokens, sorted.
func tokensOfAll(t *testing.T, sources []*auth.Source) []string {
	t.Helper()
	got := make([]string, 25*len(sources))
	callers(len(got), func(i int) { got[i] = token(t, sources[i%len(sources)]) })
	slices.Sort(got)

	return slices.Compact(got)
}

func TestFleetSharesOneToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(nil), authtest.NewBucket()
		sources := fleet(t, 8, wildfireProfile(), e, b)
		if got := tokensOfAll(t, sources); len(got) != 1 || e.count() != 1 {
			t.Fatalf("at the start: tokens %v, %d requests; want one of each", got, e.count())
		}

		time.Sleep(5 * time.Minute)
		callers(8*25, func(i int) {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			sources[i%8].Rejected("token-1")
			if got := token(t, sources[i%8]); got != "token-2" {
				t.Errorf("after the 401s: %q", got)
			}
		})
		if e.count() != 2 {
			t.Errorf("%d requests after all processes saw 401, want 2", e.count())
		}

		for _, s := range sources { // late reports of the old token
			s.Rejected("token-1")
		}
		if got := tokensOfAll(t, sources); len(got) != 1 || e.count() != 2 {
			t.Errorf("after late reports: tokens %v, %d requests", got, e.count())
		}
	})
}

// TestFleetRunsForADay keeps eight processes busy and counts what the token endpoint sees.
func TestFleetRunsForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(nil), authtest.NewBucket()
		sources := fleet(t, 8, wildfireProfile(), e, b)
		for began := time.Now(); time.Since(began) < 24*time.Hour; time.Sleep(5 * time.Second) {
			for _, s := range sources {
				token(t, s)
			}
		}
		if n, most := e.count(), int(24*time.Hour/(600*time.Second)); n > most {
			t.Errorf("%d token requests in a day, want at most %d: one per life less the window", n, most)
		}
	})
}

func TestFleetTakesOverFromADeadHolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := authtest.NewBucket()
		dead := newEndpoint(nil)
		dead.delay = time.Hour
		victim, err := auth.New(wildfireProfile(), auth.WithTransport(dead), auth.WithBucket(b))
		if err != nil {
			t.Fatal(err)
		}

		died := make(chan struct{})
		go func() {
			_, _ = victim.Token(context.Background())
			close(died)
		}()
		synctest.Wait() // it has written its claim and sent its token request
		b.SetDown(true) // so that it cannot release the claim
		_ = victim.Close()
		<-died
		b.SetDown(false)

		e := newEndpoint(nil)
		sources := fleet(t, 3, wildfireProfile(), e, b)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := sources[0].Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting on the dead holder: %v, want the caller's own deadline", err)
		}

		began := time.Now()
		if got := tokensOfAll(t, sources); len(got) != 1 || e.count() != 1 {
			t.Errorf("tokens %v, %d requests; want one of each", got, e.count())
		}
		if took := time.Since(began); took < 30*time.Second || took > 50*time.Second {
			t.Errorf("taken over after %v, want the age of a claim", took)
		}
	})
}

func TestUnreachableBucket(t *testing.T) {
	t.Parallel()
	t.Run("preferred, unreachable from the start", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e, b := newEndpoint(nil), authtest.NewBucket()
			b.SetDown(true)
			sources := fleet(t, 4, wildfireProfile(), e, b)
			began := time.Now()
			if got := tokensOfAll(t, sources); len(got) != 4 || e.count() != 4 {
				t.Errorf("tokens %v, %d requests; want one for each process", got, e.count())
			}
			if took := time.Since(began); took > 7*time.Second {
				t.Errorf("took %v", took)
			}

			// After a refusal, a process does not request a token again within 30 seconds.
			s, old := sources[0], token(t, sources[0])
			time.Sleep(90 * time.Second)
			s.Rejected(old)
			next := token(t, s)
			time.Sleep(time.Second)
			s.Rejected(next)
			if _, err := s.Token(t.Context()); err == nil || e.count() != 5 {
				t.Errorf("%v after %d requests, want an error and no sixth request", err, e.count())
			}
		})
	})
	t.Run("preferred, unreachable for a while", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e, b := newEndpoint(nil), authtest.NewBucket()
			sources := fleet(t, 4, wildfireProfile(), e, b)
			tokensOfAll(t, sources)
			b.SetDown(true)
			time.Sleep(16 * time.Minute)
			if got := tokensOfAll(t, sources); len(got) != 4 {
				t.Errorf("bucket unreachable: tokens %v, want one for each process", got)
			}

			b.SetDown(false)
			time.Sleep(16 * time.Minute)
			n := e.count()
			if got := tokensOfAll(t, sources); len(got) != 1 || e.count() != n+1 {
				t.Errorf("bucket reachable again: tokens %v, %d more requests; want one of each", got, e.count()-n)
			}
		})
	})
	t.Run("required", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e, b := newEndpoint(nil), authtest.NewBucket()
			p := wildfireProfile()
			p.Share = auth.ShareRequired
			s := fleet(t, 1, p, e, b)[0]
			token(t, s)
			b.SetDown(true)
			time.Sleep(14*time.Minute + 50*time.Second)
			if got := token(t, s); got != "token-1" {
				t.Errorf("got %q, want the old token until it expires", got)
			}

			time.Sleep(15 * time.Second)
			if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrTemporary) || !strings.Contains(err.Error(), "NATS") || e.count() != 1 {
				t.Errorf("got %v after %d requests, want ErrTemporary that names NATS after 1", err, e.count())
			}
			if s.Status().Ready {
				t.Error("ready without a token")
			}

			b.SetDown(false)
			time.Sleep(time.Minute)
			if got := token(t, s); got != "token-2" {
				t.Errorf("bucket reachable again: got %q", got)
			}
		})
	})
	t.Run("wiped", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			e, b := newEndpoint(nil), authtest.NewBucket()
			sources := fleet(t, 4, wildfireProfile(), e, b)
			tokensOfAll(t, sources)
			b.Wipe()
			time.Sleep(16 * time.Minute)
			if got := tokensOfAll(t, sources); len(got) != 1 || e.count() != 2 {
				t.Errorf("tokens %v, %d requests; want one more of each", got, e.count())
			}
		})
	})
}

func TestProcessesWithDifferentSecretsDoNotShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(nil), authtest.NewBucket()
		other := wildfireProfile()
		other.ClientSecret = auth.NewSecret("canary-refresh")
		tokensOfAll(t, append(fleet(t, 2, wildfireProfile(), e, b), fleet(t, 2, other, e, b)...))
		if len(b.Keys()) != 2 || e.count() != 2 {
			t.Errorf("keys %v, %d requests; want two of each", b.Keys(), e.count())
		}
	})
}

func TestDamagedRecordIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(nil), authtest.NewBucket()
		token(t, fleet(t, 1, wildfireProfile(), e, b)[0])
		b.Put(b.Keys()[0], []byte("neither sealed nor a record"))
		late := fleet(t, 2, wildfireProfile(), e, b)
		if got := tokensOfAll(t, late); len(got) != 1 || e.count() != 2 {
			t.Errorf("tokens %v, %d requests", got, e.count())
		}
	})
}

func TestReplayedRecordIsNotUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(nil), authtest.NewBucket()
		s := fleet(t, 1, wildfireProfile(), e, b)[0]
		token(t, s)
		first := b.History()[len(b.History())-1]
		time.Sleep(5 * time.Minute)
		s.Rejected("token-1")
		token(t, s)
		time.Sleep(5 * time.Minute)
		b.Put(b.Keys()[0], first) // token-1 has not expired, and the record is correctly sealed
		s.Rejected("token-2")
		if got := token(t, s); got != "token-3" {
			t.Errorf("got %q after the replay, want token-3", got)
		}
	})
}

// TestRecordIsBoundToItsPlace moves a sealed record to another credential's key.
func TestRecordIsBoundToItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(nil), authtest.NewBucket()
		other := wildfireProfile()
		other.Scope = "tsg_id:9"
		token(t, fleet(t, 1, wildfireProfile(), e, b)[0])
		sealed := b.History()[len(b.History())-1]
		before := b.Keys()
		token(t, fleet(t, 1, other, e, b)[0])
		for _, key := range b.Keys() {
			if !slices.Contains(before, key) {
				b.Put(key, sealed)
			}
		}

		if got := token(t, fleet(t, 1, other, e, b)[0]); got != "token-3" {
			t.Errorf("got %q from another credential's record", got)
		}
	})
}

func TestFleetWithDifferentClocksUsesValidTokens(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var born sync.Map // token → when the service made it
				e := newEndpoint(func(n int, r tokenRequest) (*http.Response, error) {
					born.Store(fmt.Sprintf("token-%d", n), r.at)
					return granted(n, "900"), nil
				})
				b := authtest.NewBucket()
				right := fleet(t, 3, wildfireProfile(), e, b)
				wrong := fleet(t, 1, wildfireProfile(), e, b, auth.WithWall(func() time.Time { return time.Now().Add(off) }))
				sources := append(right, wrong...)
				refusals := 0
				for began := time.Now(); time.Since(began) < 6*time.Hour; time.Sleep(5 * time.Second) {
					for _, s := range sources {
						got, err := s.Token(t.Context())
						if err != nil {
							t.Fatalf("no token: %v", err)
						}

						at, _ := born.Load(got)
						if time.Since(at.(time.Time)) > 900*time.Second { // as the service sees it
							refusals++
							s.Rejected(got)
						}
					}
				}

				if n := e.count(); n > 6*3600/300 {
					t.Errorf("%d token requests in six hours", n)
				}
				if refusals > 50 {
					t.Errorf("%d calls with an expired token", refusals)
				}
			})
		})
	}
}

func TestFleetHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(func(n int, _ tokenRequest) (*http.Response, error) {
			if n == 1 {
				return reply(429, "", "Retry-After", "120"), nil
			}

			return granted(n, "900"), nil
		}), authtest.NewBucket()
		sources := fleet(t, 8, wildfireProfile(), e, b)
		ask := func() (failures int) {
			for _, s := range sources {
				_, err := s.Token(t.Context())
				var ae *auth.AuthError
				if errors.As(err, &ae) && ae.Status == 429 && ae.RetryAfter > 0 && ae.RetryAfter <= 2*time.Minute {
					failures++
				}
			}

			return failures
		}
		if n := ask(); n != 8 || e.count() != 1 {
			t.Fatalf("%d of 8 processes got the error after %d requests, want 8 after 1", n, e.count())
		}

		time.Sleep(119 * time.Second)
		if ask(); e.count() != 1 {
			t.Fatalf("%d requests before Retry-After", e.count())
		}

		time.Sleep(3 * time.Second)
		if got := tokensOfAll(t, sources); len(got) != 1 || e.count() != 2 {
			t.Errorf("afterwards: tokens %v, %d requests", got, e.count())
		}
	})
}

func TestFleetStopsAtARefusedFreshToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(nil), authtest.NewBucket()
		sources := fleet(t, 8, wildfireProfile(), e, b)
		tokensOfAll(t, sources)
		callers(8, func(i int) { sources[i].Rejected("token-1") })
		for i, s := range append(sources, fleet(t, 1, wildfireProfile(), e, b)...) { // and a process that starts only now
			time.Sleep(time.Millisecond)
			if _, err := s.Token(t.Context()); !errors.Is(err, auth.ErrCredentialRejected) {
				t.Errorf("process %d: %v, want ErrCredentialRejected", i, err)
			}
		}

		if e.count() != 1 {
			t.Fatalf("%d requests, want no second one", e.count())
		}

		time.Sleep(31 * time.Second)
		if got := tokensOfAll(t, sources); len(got) != 1 || e.count() != 2 {
			t.Errorf("probe: tokens %v, %d requests; want one for the fleet", got, e.count())
		}
	})
}

func TestFleetUsesAReplacedSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good := "canary-secret-0b7e"
		e, b := newEndpoint(nil), authtest.NewBucket()
		e.answer = func(n int, r tokenRequest) (*http.Response, error) {
			if r.form.Get("client_secret") != good {
				return reply(401, `{"error":"invalid_client"}`), nil
			}

			return granted(n, "900"), nil
		}
		p := wildfireProfile()
		p.ClientSecret, p.ClientSecretFile = auth.Secret{}, secretFileOf(t, good)
		sources := fleet(t, 4, p, e, b)
		tokensOfAll(t, sources)
		good = "canary-refresh"
		overwrite(t, p.ClientSecretFile, good)
		time.Sleep(16 * time.Minute)
		if got := tokensOfAll(t, sources); len(got) != 1 || e.count() != 2 {
			t.Errorf("tokens %v, %d requests; want one more of each", got, e.count())
		}
	})
}

// TestWatchGuardTokensAreShared shares tokens sealed with a key stretched from a password, and with
// a separate key.
func TestWatchGuardTokensAreShared(t *testing.T) {
	t.Parallel()
	for name, cacheKey := range map[string]string{"password": "", "cache key": "canary-secret-0b7e"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := profileOf(t, auth.KindWatchGuard)
			if cacheKey != "" {
				p.CacheKeyFile = secretFileOf(t, cacheKey)
			}

			synctest.Test(t, func(t *testing.T) {
				e, b := newEndpoint(nil), authtest.NewBucket()
				if got := tokensOfAll(t, fleet(t, 2, p, e, b)); len(got) != 1 || e.count() != 1 {
					t.Errorf("tokens %v, %d requests; want one of each", got, e.count())
				}

				other := p
				other.Audience = "another"
				if tokensOfAll(t, fleet(t, 1, other, e, b)); e.count() != 2 || len(b.Keys()) != 2 {
					t.Errorf("%d requests, keys %v; want two of each, because another audience needs another token", e.count(), b.Keys())
				}
			})
		})
	}
}

func TestAProcessWithoutTheBucketAsksSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(func(n int, _ tokenRequest) (*http.Response, error) { return granted(n, "10"), nil })
		b := authtest.NewBucket()
		b.SetDown(true)
		s := fleet(t, 1, wildfireProfile(), e, b)[0]
		served := 0
		for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(time.Second) {
			if _, err := s.Token(t.Context()); err == nil {
				served++
			} else if !errors.Is(err, auth.ErrTemporary) {
				t.Fatal(err)
			}
		}

		if n := e.count(); n > 20 || n < 15 || served < 100 {
			t.Errorf("%d token requests in ten minutes, %d calls served; want one request every 30 seconds", n, served)
		}
	})
}

// TestNewTokenIsPushed: a process has the fleet's next token before it needs one, and uses it for
// slightly less than its life, because another clock measured its start.
func TestNewTokenIsPushed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(nil), authtest.NewBucket()
		sources := fleet(t, 2, wildfireProfile(), e, b)
		tokensOfAll(t, sources)
		time.Sleep(5 * time.Minute)
		sources[0].Rejected("token-1")
		token(t, sources[0])
		synctest.Wait()
		own, pushed := sources[0].Status(), sources[1].Status()
		if pushed.Fingerprint != auth.Fingerprint("token-2") || pushed.Generation != 2 {
			t.Errorf("the other process has %+v, want token-2", pushed)
		}
		if early := own.Expires.Sub(pushed.Expires); early < 59*time.Second || early > 62*time.Second {
			t.Errorf("the shared token expires %v earlier in the other process, want a minute", early)
		}
	})
}

// TestOvertakenHolderTakesTheWinnersToken replaces the record during a holder's token request, as a
// process does that takes over the claim.
func TestOvertakenHolderTakesTheWinnersToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow, b := newEndpoint(nil), authtest.NewBucket()
		slow.delay = 10 * time.Second
		quick := newEndpoint(func(int, tokenRequest) (*http.Response, error) { return granted(99, "900"), nil })
		elsewhere := authtest.NewBucket()
		token(t, fleet(t, 1, wildfireProfile(), quick, elsewhere)[0])
		winner := elsewhere.History()[len(elsewhere.History())-1]
		s := fleet(t, 1, wildfireProfile(), slow, b)[0]
		go func() {
			time.Sleep(5 * time.Second)
			b.Put(b.Keys()[0], winner)
		}()
		if got := token(t, s); got != "token-99" {
			t.Errorf("got %q, want the winner's", got)
		}

		time.Sleep(10 * time.Second)
		if got := token(t, s); got != "token-99" {
			t.Errorf("later: %q, want the winner's", got)
		}
	})
}

// TestATokenIsUsedThoughTheBucketAnswersWithOldRecords: a replica that lags shows a claim that this
// process has written, but no write to it succeeds.
func TestATokenIsUsedThoughTheBucketAnswersWithOldRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(nil)
		s := source(t, wildfireProfile(), e, auth.WithBucket(lagging{authtest.NewBucket()}))
		began := time.Now()
		if got := token(t, s); got != "token-1" || e.count() != 1 {
			t.Errorf("got %q after %d requests", got, e.count())
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// lagging is a bucket of which no key can be written twice.
type lagging struct{ auth.Bucket }

func (lagging) Update(context.Context, string, []byte, uint64) (uint64, error) {
	return 0, auth.ErrKeyConflict
}

// TestCooldownIsLimitedDespiteAWrongClock: a cool-down from a process with a wrong clock is not
// longer than its stated length.
func TestCooldownIsLimitedDespiteAWrongClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, b := newEndpoint(func(n int, _ tokenRequest) (*http.Response, error) {
			if n == 1 {
				return reply(429, "", "Retry-After", "60"), nil
			}

			return granted(n, "900"), nil
		}), authtest.NewBucket()
		ahead := fleet(t, 1, wildfireProfile(), e, b, auth.WithWall(func() time.Time { return time.Now().Add(time.Hour) }))[0]
		if _, err := ahead.Token(t.Context()); err == nil {
			t.Fatal("no cool-down")
		}

		_, err := fleet(t, 1, wildfireProfile(), e, b)[0].Token(t.Context())
		var ae *auth.AuthError
		if !errors.As(err, &ae) || ae.RetryAfter > time.Minute || ae.RetryAfter < 50*time.Second {
			t.Errorf("got %v, want at most the minute that the server asked for", err)
		}
	})
}
