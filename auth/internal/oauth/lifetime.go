package oauth

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// overLifetime is how long a token is used whose server says that it has ended already
	// (expires_in of 0 or less). It bounds what such a server costs: one token request in
	// this time.
	overLifetime = 5 * time.Second
	// minLifetime is the shortest life of a token.
	minLifetime = time.Second
	// capLifetime bounds absurd lifetimes, such as nanoseconds in place of seconds.
	capLifetime = 30 * 24 * time.Hour
	// maxUnix bounds the times that a token states, in Unix seconds: the year 5138.
	maxUnix = 1e11
	// unreadableLifetime stands in for an expires_in that is no number.
	unreadableLifetime = 5 * time.Minute
)

// Lifetime is what a token endpoint said about how long a token lives.
type Lifetime struct {
	D   time.Duration // 0: it does not expire
	Odd bool          // what was said was clamped or could not be read
}

// parseLifetime reads expires_in as the servers send it: a number, a string of a number, a
// fraction, null, or nothing. Where it says nothing the kind's documented lifetime holds.
func parseLifetime(raw json.RawMessage, documented time.Duration) Lifetime {
	text := strings.TrimSpace(string(raw))
	if text == "" || text == "null" {
		return Lifetime{D: documented}
	}
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		text = strings.TrimSpace(quoted)
	}
	seconds, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(seconds, 1) || (err == nil && seconds > capLifetime.Seconds()):
		return Lifetime{D: capLifetime, Odd: true}
	case err != nil || math.IsNaN(seconds):
		d := unreadableLifetime
		if documented > 0 {
			d = min(d, documented)
		}
		return Lifetime{D: d, Odd: true}
	case seconds <= 0:
		return Lifetime{D: overLifetime, Odd: true}
	case seconds < minLifetime.Seconds():
		return Lifetime{D: minLifetime, Odd: true}
	default:
		return Lifetime{D: time.Duration(seconds * float64(time.Second))}
	}
}

// claims are the times in a token that happens to be a JWT. Nobody has verified them: they
// may shorten a life and show a clock that is wrong, nothing more.
type claims struct {
	IssuedAt float64 `json:"iat"`
	Expires  float64 `json:"exp"`
}

// parseClaims reads the times of a JWT; ok is false where token is none. What else is in
// it is not looked at: WatchGuard's carry the account's API keys.
func parseClaims(token string) (c claims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return claims{}, false
	}
	return c, c.IssuedAt > 0 && c.IssuedAt < maxUnix
}

// shorten applies the token's own life where it is the shorter one.
func (l Lifetime) shorten(c claims) Lifetime {
	own := c.Expires - c.IssuedAt
	if !(own > 0 && own <= capLifetime.Seconds()) {
		return l
	}
	if d := time.Duration(own * float64(time.Second)); l.D == 0 || d < l.D {
		l.D = max(d, minLifetime)
	}
	return l
}

// skew returns how far this machine's clock is ahead of the issuer's, judged by iat.
func (c claims) skew(local time.Time) time.Duration {
	return local.Sub(time.Unix(int64(c.IssuedAt), 0)).Round(time.Second)
}
