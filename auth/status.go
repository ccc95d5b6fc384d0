package auth

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Status describes a Source for operators. It contains no secrets and no tokens.
type Status struct {
	Name        string    `json:"name"`
	Kind        Kind      `json:"kind"`
	State       string    `json:"state"`                 // none, fresh, stale, expired, rejected
	Ready       bool      `json:"ready"`                 // there is a valid token
	Shared      bool      `json:"shared"`                // shared with the fleet, through the bucket
	Obtained    time.Time `json:"obtained,omitzero"`     // UTC, by this machine's clock
	Expires     time.Time `json:"expires,omitzero"`      // UTC; zero if it does not expire or there is no token
	Generation  uint64    `json:"generation,omitempty"`  // number of the token: this process's tokens, or the fleet's if shared, are counted from 1
	Fingerprint string    `json:"fingerprint,omitempty"` // of the token, see Fingerprint

	Refreshing    bool      `json:"refreshing"`
	Waiters       int64     `json:"waiters"`
	LastError     string    `json:"last_error,omitempty"` // of the last renewal; empty once one succeeded
	LastErrorAt   time.Time `json:"last_error_at,omitzero"`
	CooldownUntil time.Time `json:"cooldown_until,omitzero"` // no request before then

	ClockSkew time.Duration `json:"clock_skew,omitempty"` // nanoseconds; this machine minus the issuer

	GrantObtained   time.Time `json:"grant_obtained,omitzero"`    // KindCortex: when the refresh token was received
	GrantGeneration uint64    `json:"grant_generation,omitempty"` // number of the refresh token; each login and each roll adds one
	GrantUnsaved    bool      `json:"grant_unsaved,omitempty"`    // the refresh token is not durable yet
}

// Status reports the state of s. It never asks a server.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := time.Now()
	st := Status{
		Name:       s.profile.Name,
		Kind:       s.profile.Kind,
		State:      "none",
		Shared:     s.shared != nil,
		Refreshing: s.renewal != nil,
		Waiters:    s.waiters.Load(),
		ClockSkew:  s.clockSkew(),
	}
	if tok := s.current.Load(); tok != nil {
		st.State = tok.phase(now).String()
		st.Ready = tok.servable(now)
		st.Obtained = time.Unix(0, tok.sentWall).UTC()
		st.Generation = tok.generation
		st.Fingerprint = tok.id
		if tok.life > 0 {
			st.Expires = st.Obtained.Add(tok.life)
		}
	}

	if s.lastErr != nil {
		st.LastError = s.lastErr.Error()
		st.LastErrorAt = s.lastErrAt.UTC()
	}

	if left := s.cool.remaining(now); left > 0 {
		st.CooldownUntil = now.Add(left).UTC()
	}

	grant := s.grant.Status()
	st.GrantObtained = grant.Obtained
	st.GrantGeneration = grant.Generation
	st.GrantUnsaved = grant.Unsaved

	return st
}

// gauges returns the metrics that are computed at each scrape.
func (s *Source) gauges() []prometheus.Collector {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		labels := prometheus.Labels{"profile": s.profile.Name}
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "backburn_auth_" + name, Help: help, ConstLabels: labels}, f)
	}

	return []prometheus.Collector{
		gauge("waiters", "Callers waiting for a token.", func() float64 { return float64(s.waiters.Load()) }),
		gauge("token_remaining_seconds", "Seconds until the token expires; 0 without one, +Inf if it never expires.", s.remainingSeconds),
		gauge("cooldown_seconds", "Seconds until the token endpoint may be asked again.", s.cooldownSeconds),
		gauge("clock_skew_seconds", "This machine's clock minus the token issuer's.", func() float64 { return s.clockSkew().Seconds() }),
		gauge("ready", "1 while there is a valid token.", s.readiness),
		gauge("grant_age_seconds", "Age of the refresh token; 0 without one.", s.grantAge),
	}
}

// readiness returns 1 while there is a valid token, otherwise 0.
func (s *Source) readiness() float64 {
	if s.current.Load().servable(time.Now()) {
		return 1
	}
	return 0
}

func (s *Source) remainingSeconds() float64 {
	tok, now := s.current.Load(), time.Now()
	switch {
	case tok == nil || !tok.servable(now):
		return 0
	case tok.life == 0:
		return math.Inf(1)
	default:
		return (tok.life - tok.age(now)).Seconds()
	}
}

func (s *Source) cooldownSeconds() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cool.remaining(time.Now()).Seconds()
}

func (s *Source) grantAge() float64 {
	obtained := s.grant.Status().Obtained
	if obtained.IsZero() {
		return 0
	}
	return time.Since(obtained).Seconds()
}
