package auth

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// result is the outcome of a renewal. Its values are label values of a metric.
type result string

const (
	resultOK          result = "ok"          // a token request returned a new token
	resultAdopted     result = "adopted"     // another process had a new token
	resultTemporary   result = "temporary"   // ErrTemporary
	resultRejected    result = "rejected"    // ErrCredentialRejected
	resultReauthorize result = "reauthorize" // ErrReauthorize
)

// resultOf returns the result of a renewal that failed with e.
func resultOf(e *AuthError) result {
	switch {
	case errors.Is(e, ErrReauthorize):
		return resultReauthorize
	case errors.Is(e, ErrCredentialRejected):
		return resultRejected
	default:
		return resultTemporary
	}
}

var results = []result{resultOK, resultAdopted, resultTemporary, resultRejected, resultReauthorize}

// metrics are the metrics of one Source. Values that change with time are computed at each scrape,
// so Token updates no metric.
type metrics struct {
	registry     prometheus.Registerer
	all          []prometheus.Collector
	refreshes    *prometheus.CounterVec // renewals, by reason and result
	requests     prometheus.Counter
	breaker      prometheus.Counter
	conflicts    prometheus.Counter
	bucketErrors prometheus.Counter
	rolls        prometheus.Counter
	saveErrors   prometheus.Counter
}

// newMetrics creates the metrics of a profile and registers them with r, which may be nil, together
// with the gauges. It fails if another Source of this name is registered.
func newMetrics(profile string, r prometheus.Registerer, gauges []prometheus.Collector) (*metrics, error) {
	labels := prometheus.Labels{"profile": profile}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "backburn_auth_" + name, Help: help, ConstLabels: labels})
	}
	m := &metrics{
		registry: r,
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backburn_auth_refreshes_total", Help: "Renewals of the token by reason and result.", ConstLabels: labels,
		}, []string{"reason", "result"}),
		requests:     counter("token_requests_total", "Requests to the token endpoint."),
		breaker:      counter("fresh_rejections_total", "Times that a service refused a fresh token."),
		conflicts:    counter("bucket_conflicts_total", "Writes to the bucket that failed because another process wrote first."),
		bucketErrors: counter("bucket_errors_total", "Calls to the bucket that failed."),
		rolls:        counter("grant_rolls_total", "Refresh tokens that the server replaced."),
		saveErrors:   counter("grant_save_errors_total", "Attempts to persist a refresh token that failed."),
	}
	for _, reason := range reasons {
		for _, result := range results {
			m.refreshes.WithLabelValues(string(reason), string(result))
		}
	}

	m.all = append(gauges, m.refreshes, m.requests, m.breaker, m.conflicts, m.bucketErrors, m.rolls, m.saveErrors)
	if r == nil {
		return m, nil
	}

	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			for _, done := range m.all[:i] {
				r.Unregister(done)
			}

			return nil, errors.New("auth " + profile + ": metrics: another source with this name is registered")
		}
	}

	return m, nil
}

func (m *metrics) unregister() {
	if m.registry == nil {
		return
	}
	for _, c := range m.all {
		m.registry.Unregister(c)
	}
}

// countRenewal counts a renewal.
func (m *metrics) countRenewal(why reason, outcome result) {
	m.refreshes.WithLabelValues(string(why), string(outcome)).Inc()
}
