package worker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
	"backburn/results"
)

// metrics are a worker's metrics. Each label has a fixed set of values, and each counter exists
// from the start, at zero.
type metrics struct {
	poller.Metrics
	outcomes      *prometheus.CounterVec // by event and outcome
	uploads       *prometheus.CounterVec // by the action that followed the upload
	uploadSeconds prometheus.Histogram
	uploadBytes   prometheus.Counter
	conflicts     prometheus.Counter
	dead          *prometheus.CounterVec // by reason, and by whether a person is needed
	log           zerolog.Logger
}

// verdictNames are the outcomes of verdict events.
var verdictNames = []string{"benign", "malware", "grayware", "phishing", "c2", "unrecognised"}

func newMetrics(reg prometheus.Registerer, log zerolog.Logger, held *leases, pauses *fleet.Pauses) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return f.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}

	m := &metrics{
		outcomes: counters("backburn_jobs_finished_total", "Jobs that got their final event here.", "event", "outcome"),
		uploads:  counters("backburn_uploads_total", "Uploads, failed ones included, by the action that followed.", "result"),
		uploadSeconds: histogram("backburn_upload_seconds", "Time from the start of a file's upload until WildFire accepted it.",
			.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120),
		uploadBytes: counter("backburn_upload_bytes_total", "Bytes of contents that WildFire accepted."),
		conflicts: counter("backburn_jobs_conflict_total",
			"Jobs refused because their source used the id before for other contents."),
		dead: counters("backburn_dead_letters_total",
			"Dead letters that this worker wrote, by reason and whether they need a person.", "reason", "attention"),
		log: log,
	}
	reports := counters("backburn_reports_total", "Reports that this worker published as the leader, by status.", "status")
	m.Metrics = poller.Metrics{
		Pending: gauge("backburn_jobs_waiting",
			"Jobs that wait for a verdict, as the leader sees them; 0 elsewhere."),
		Parked: gauge("backburn_jobs_parked",
			"Jobs that wait for a budget or the end of a pause, as the leader sees them; 0 elsewhere."),
		Queries:  counter("backburn_queries_total", "Calls for verdicts that were answered."),
		Failed:   counter("backburn_queries_failed_total", "Calls for verdicts, reports and documents that failed."),
		Hashes:   histogram("backburn_query_hashes", "Hashes in a call for verdicts.", 1, 2, 5, 10, 25, 50, 100, 250, 500),
		Finished: m.finished,

		ReportsWaiting: gauge("backburn_reports_waiting",
			"Samples whose report is to be fetched, as the leader sees them; 0 elsewhere."),
		ReportsFetched: reports.WithLabelValues(string(results.ReportAvailable)),
		ReportsMissing: reports.WithLabelValues(string(results.ReportMissing)),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "backburn_jobs_held", Help: "Jobs that this worker holds."},
		func() float64 { return float64(held.size()) })
	for _, b := range pipeline.Budgets() {
		f.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "backburn_paused",
			Help:        "1 while the budget is paused for the fleet.",
			ConstLabels: prometheus.Labels{"budget": string(b)},
		}, func() float64 {
			if _, on, _ := pauses.Active(b); on {
				return 1
			}
			return 0
		})
	}

	for _, v := range verdictNames {
		m.outcomes.WithLabelValues("verdict", v)
	}
	for _, r := range results.Reasons() {
		m.outcomes.WithLabelValues("failed", string(r))
		m.deadLetters(r)
	}
	for _, a := range pipeline.Actions() {
		m.uploads.WithLabelValues(a.Label())
	}

	return m
}

func (m *metrics) deadLetters(r results.Reason) prometheus.Counter {
	attention := "yes"
	if r.Expected() {
		attention = "no"
	}

	return m.dead.WithLabelValues(string(r), attention)
}

// finished counts a finished job, and logs the one line about its outcome.
func (m *metrics) finished(ev results.Event) {
	m.outcomes.WithLabelValues(ev.Type.Name(), ev.Outcome()).Inc()

	e := m.log.Info().Str("job", ev.Data.JobID).Str("source", ev.Data.Source).Str("file", ev.Data.Filename)
	if ev.Data.SHA256 != "" {
		e = e.Str("sha256", ev.Data.SHA256)
	}
	if ev.Data.URL != "" {
		e = e.Str("url", ev.Data.URL)
	}
	if ev.Data.Error != nil {
		e.Str("reason", string(ev.Data.Error.Reason)).Str("err", ev.Data.Error.Message).Msg("job failed")
		return
	}

	e.Str("verdict", ev.Data.Verdict).Str("basis", string(ev.Data.Basis)).Msg("job got its verdict")
}
