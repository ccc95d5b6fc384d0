package api

import (
	"errors"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"backburn/internal/sse"
)

// metrics count submissions by result, and requests without a valid token. Every series exists from
// the start.
type metrics struct {
	submissions  *prometheus.CounterVec // by source and result
	unauthorized *prometheus.CounterVec // by reason
	seconds      prometheus.Histogram
}

// The results of submissions besides the problems.
const (
	resultAccepted = "accepted"
	resultRepeated = "repeated"
	resultGone     = "gone" // the client left
)

// submitProblems are the problems that a submission can end with.
var submitProblems = []string{
	"invalid-request", "unsupported-media", "forbidden", "other-contents", "too-large", "incomplete",
	"rate-limited", "full", "busy", "unavailable",
}

// resultOf returns the label value of a problem.
func resultOf(kind string) string { return strings.ReplaceAll(kind, "-", "_") }

func newMetrics(tokens []Token) *metrics {
	m := &metrics{
		submissions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backburn_api_submissions_total", Help: "Submissions over HTTP by result.",
		}, []string{"source", "result"}),
		unauthorized: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backburn_api_unauthorized_total", Help: "Requests refused because of their token.",
		}, []string{"reason"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "backburn_api_submit_seconds", Help: "From the header of a submission until it was durable.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
	}
	results := []string{resultAccepted, resultRepeated, resultGone}
	for _, kind := range submitProblems {
		results = append(results, resultOf(kind))
	}

	for _, t := range tokens {
		for _, result := range results {
			m.submissions.WithLabelValues(t.Source, result)
		}
	}

	for _, reason := range []string{"missing", "unknown"} {
		m.unauthorized.WithLabelValues(reason)
	}

	return m
}

// register registers the metrics, and gauges for submissions in progress and open streams.
func (m *metrics) register(reg *prometheus.Registry, inProgress *atomic.Int64, streams sse.Places) error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}

	return errors.Join(
		reg.Register(m.submissions),
		reg.Register(m.unauthorized),
		reg.Register(m.seconds),
		reg.Register(gauge("backburn_api_submissions_in_progress", "Submissions in progress.", func() float64 { return float64(inProgress.Load()) })),
		reg.Register(gauge("backburn_api_streams", "Open event streams.", func() float64 { return float64(len(streams)) })),
	)
}
