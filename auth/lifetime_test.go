package auth_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth"
)

// TestExpiresInDeterminesTheLife checks the token's life for every form of expires_in, and that
// none causes a flood of requests: a caller asks every 100 ms for an hour of virtual time.
func TestExpiresInDeterminesTheLife(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, raw string
		kind      auth.Kind
		life      time.Duration // 0: without end
	}{
		{"number", "3600", auth.KindWildFire, time.Hour},
		{"string", `"3600"`, auth.KindWildFire, time.Hour},
		{"string with spaces", `" 3600 "`, auth.KindWildFire, time.Hour},
		{"fraction", "3600.0", auth.KindWildFire, time.Hour},
		{"exponent", "3.6e3", auth.KindWildFire, time.Hour},
		{"half a second more", "899.5", auth.KindWildFire, 899*time.Second + 500*time.Millisecond},
		{"absent, documented as 900 s", "", auth.KindWildFire, 15 * time.Minute},
		{"null", "null", auth.KindWildFire, 15 * time.Minute},
		{"absent, documented as an hour", "", auth.KindWatchGuard, time.Hour},
		{"absent, documented as without end", "", auth.KindDataSecurity, 0},
		{"zero", "0", auth.KindWildFire, 5 * time.Second},
		{"zero where absent means without end", "0", auth.KindDataSecurity, 5 * time.Second},
		{"zero as a string", `"0"`, auth.KindDataSecurity, 5 * time.Second},
		{"a second", "1", auth.KindWildFire, time.Second},
		{"a few seconds", "4", auth.KindWildFire, 4 * time.Second},
		{"a few seconds as a string", `"3"`, auth.KindDataSecurity, 3 * time.Second},
		{"less than a second", "0.01", auth.KindWildFire, time.Second},
		{"negative", "-5", auth.KindWildFire, 5 * time.Second},
		{"shorter than any window", "20", auth.KindWildFire, 20 * time.Second},
		{"absurd", "1e12", auth.KindWildFire, 30 * 24 * time.Hour},
		{"more than a float holds", "1e999", auth.KindWildFire, 30 * 24 * time.Hour},
		{"nanoseconds", "600000000000", auth.KindWildFire, 30 * 24 * time.Hour},
		{"with a unit", `"900s"`, auth.KindWildFire, 5 * time.Minute},
		{"empty string", `""`, auth.KindDataSecurity, 5 * time.Minute},
		{"not a number", `"NaN"`, auth.KindDataSecurity, 5 * time.Minute},
		{"an object", `{"seconds":900}`, auth.KindDataSecurity, 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(func(n int, _ tokenRequest) (*http.Response, error) { return granted(n, tt.raw), nil })
				s := source(t, profileOf(t, tt.kind), e)
				token(t, s)
				st := s.Status()
				if tt.life == 0 && !st.Expires.IsZero() {
					t.Errorf("expires at %v, want never", st.Expires)
				}
				if got := st.Expires.Sub(st.Obtained); tt.life != 0 && got != tt.life {
					t.Errorf("lives for %v, want %v", got, tt.life)
				}

				for began := time.Now(); time.Since(began) < time.Hour; time.Sleep(100 * time.Millisecond) {
					token(t, s)
				}

				most := 1
				if tt.life > 0 {
					most += int(time.Hour/(tt.life*4/5)) + 1
				}
				if n := e.count(); n > most {
					t.Errorf("%d token requests in an hour, want at most %d", n, most)
				}
			})
		})
	}
}

// profileOf returns a valid profile of a kind whose hosts are the vendor's own.
func profileOf(t *testing.T, kind auth.Kind) auth.Profile {
	t.Helper()
	p := wildfireProfile()
	p.Name, p.Kind = string(kind), kind
	switch kind {
	case auth.KindWatchGuard:
		p.ClientID, p.APIKeyFile = "0123abcd_rw_id", secretFileOf(t, "canary-api-key-51ce")
	case auth.KindCortex:
		p.Scope = "logging-service:read"
		p.Region = "americas"
		p.GrantFile = t.TempDir() + "/grant"
	}

	return p
}

// jwt makes an unsigned token with the given times.
func jwt(iat, exp time.Time) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(fmt.Appendf(nil, `{"iat":%d,"exp":%d,"custom:api_keys":"x"}`, iat.Unix(), exp.Unix())) + ".sig"
}

func TestTimesInATokenShortenItsLife(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		ahead     time.Duration // issuer's clock minus ours
		own       time.Duration // life that the token states
		life      time.Duration
		expiresIn string
	}{
		{"agrees", 0, 900 * time.Second, 900 * time.Second, "900"},
		{"shorter than expires_in", 0, 600 * time.Second, 600 * time.Second, "900"},
		{"longer than expires_in", 0, time.Hour, 900 * time.Second, "900"},
		{"the only one", 0, 1200 * time.Second, 900 * time.Second, ""},
		{"issuer ahead", 5 * time.Minute, 900 * time.Second, 900 * time.Second, "900"},
		{"issuer behind", -5 * time.Minute, 900 * time.Second, 900 * time.Second, "900"},
		{"ends before it begins", 0, -time.Hour, 900 * time.Second, "900"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEndpoint(func(_ int, r tokenRequest) (*http.Response, error) {
					iat := r.at.Add(tt.ahead)
					rest := ""
					if tt.expiresIn != "" {
						rest = `,"expires_in":` + tt.expiresIn
					}

					return reply(200, `{"access_token":"`+jwt(iat, iat.Add(tt.own))+`"`+rest+`}`), nil
				})
				log := &output{}
				s := source(t, wildfireProfile(), e, auth.WithLogger(zerolog.New(log)))
				token(t, s)
				st := s.Status()
				if warned := strings.Contains(log.String(), "NTP"); warned != (tt.ahead != 0) {
					t.Errorf("warned of the clock: %v", warned)
				}
				if got := st.Expires.Sub(st.Obtained); got != tt.life {
					t.Errorf("lives for %v, want %v", got, tt.life)
				}
				if st.ClockSkew != -tt.ahead {
					t.Errorf("clock skew %v, want %v", st.ClockSkew, -tt.ahead)
				}
			})
		})
	}
}
