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
	// zeroLifetime is how long a token is used if expires_in is 0 or less. It limits the requests
	// to such a server to one in this time.
	zeroLifetime = 5 * time.Second
	// minLifetime is the shortest life of a token.
	minLifetime = time.Second
	// maxLifetime is the longest accepted life, in case a server sends nanoseconds instead of
	// seconds.
	maxLifetime = 30 * 24 * time.Hour
	// maxUnix is the latest accepted time in a token, in Unix seconds: the year 5138.
	maxUnix = 1e11
	// unreadableLifetime is used if expires_in is not a number.
	unreadableLifetime = 5 * time.Minute
)

// Lifetime is the life of a token according to the token endpoint.
type Lifetime struct {
	Duration time.Duration // 0: it does not expire
	Suspect  bool          // the value was clamped or unreadable
}

// parseLifetime parses expires_in in the forms that servers send: a number, a string of a number, a
// fraction, null, or nothing. If there is no value, it returns the kind's documented lifetime.
func parseLifetime(raw json.RawMessage, documented time.Duration) Lifetime {
	text := strings.TrimSpace(string(raw))
	if text == "" || text == "null" {
		return Lifetime{Duration: documented}
	}

	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		text = strings.TrimSpace(quoted)
	}

	seconds, err := strconv.ParseFloat(text, 64)
	switch {
	case math.IsInf(seconds, 1) || (err == nil && seconds > maxLifetime.Seconds()):
		return Lifetime{Duration: maxLifetime, Suspect: true}
	case err != nil || math.IsNaN(seconds):
		d := unreadableLifetime
		if documented > 0 {
			d = min(d, documented)
		}

		return Lifetime{Duration: d, Suspect: true}
	case seconds <= 0:
		return Lifetime{Duration: zeroLifetime, Suspect: true}
	case seconds < minLifetime.Seconds():
		return Lifetime{Duration: minLifetime, Suspect: true}
	default:
		return Lifetime{Duration: time.Duration(seconds * float64(time.Second))}
	}
}

// claims are the times in a token that is a JWT. They are not verified, so they are only used to
// shorten a life and to detect a wrong clock.
type claims struct {
	IssuedAt float64 `json:"iat"`
	Expires  float64 `json:"exp"`
}

// parseClaims reads the times of a JWT; ok is false if token is not a JWT. It reads nothing else,
// because WatchGuard's tokens contain the account's API keys.
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

// shorten returns the life that the token itself states, if that is shorter than l.
func (l Lifetime) shorten(c claims) Lifetime {
	stated := c.Expires - c.IssuedAt
	if !(stated > 0 && stated <= maxLifetime.Seconds()) {
		return l
	}
	if d := time.Duration(stated * float64(time.Second)); l.Duration == 0 || d < l.Duration {
		l.Duration = max(d, minLifetime)
	}

	return l
}

// skew returns how far this machine's clock is ahead of the issuer's, according to iat.
func (c claims) skew(local time.Time) time.Duration {
	return local.Sub(time.Unix(int64(c.IssuedAt), 0)).Round(time.Second)
}
