package watch

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// skipReasons are the label values of skipped: why a name is never taken.
var skipReasons = []string{"excluded", "special", "hardlink", "mount"}

// waitReasons are the label values of deferred: why a file is not taken yet.
var waitReasons = []string{"changing", "temporary", "empty", "writer", "done_file", "unreadable", "immovable", "fault", "own"}

// metrics are the metrics of one watcher. All watchers of a registry share the collectors and
// differ in the label source.
type metrics struct {
	pending, inFlight, free                  prometheus.Gauge
	oldest, oldestPending                    prometheus.Gauge
	claimed, published, retries, republished prometheus.Counter
	events, overflows, rebuilds, writerBlind prometheus.Counter
	scanEntries                              prometheus.Gauge
	scanSeconds, latency                     prometheus.Observer
	held, troubled                           prometheus.Gauge
	deferred                                 map[string]prometheus.Counter
	skipped                                  map[string]prometheus.Counter
	finished                                 map[string]prometheus.Counter
}

// finishActions are the label values of finished: what was done with a finished file.
var finishActions = []string{"keep", "delete", "restore", "move", "resubmit"}

func newMetrics(reg prometheus.Registerer, source string) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	const prefix = "backburn_watch_"
	gauge := func(name, help string) prometheus.Gauge {
		opts := prometheus.GaugeOpts{Name: prefix + name, Help: help}
		return register(reg, prometheus.NewGaugeVec(opts, []string{"source"})).WithLabelValues(source)
	}
	counter := func(name, help string) prometheus.Counter {
		opts := prometheus.CounterOpts{Name: prefix + name, Help: help}
		return register(reg, prometheus.NewCounterVec(opts, []string{"source"})).WithLabelValues(source)
	}
	counters := func(name, help, label string, values []string) map[string]prometheus.Counter {
		opts := prometheus.CounterOpts{Name: prefix + name, Help: help}
		vec := register(reg, prometheus.NewCounterVec(opts, []string{"source", label}))
		m := make(map[string]prometheus.Counter, len(values))
		for _, v := range values {
			m[v] = vec.WithLabelValues(source, v)
		}
		return m
	}
	histogram := func(name, help string, buckets []float64) prometheus.Observer {
		opts := prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}
		return register(reg, prometheus.NewHistogramVec(opts, []string{"source"})).WithLabelValues(source)
	}

	return &metrics{
		pending:       gauge("pending_files", "Names in memory that are not yet judged or taken; the folder may hold more."),
		inFlight:      gauge("in_flight_files", "Files claimed and not yet finished."),
		oldest:        gauge("oldest_in_flight_timestamp_seconds", "When the oldest unfinished file was claimed; 0 if there is none."),
		oldestPending: gauge("oldest_pending_timestamp_seconds", "When the name that has been pending longest was first seen; 0 if there is none."),
		free:          gauge("free_bytes", "Free space on the folder's file system."),
		held:          gauge("held_back", "1 while files wait because max_in_flight or min_free allows no more claims."),
		troubled:      gauge("troubled_files", "Files that for longer than stale_after could not be read, claimed or moved, because of faults of the files themselves."),
		republished:   counter("republished_total", "Claimed files published again because the queue had lost their jobs."),
		claimed:       counter("claimed_total", "Files claimed."),
		published:     counter("published_total", "Jobs published, including repeats after restarts."),
		retries:       counter("publish_retries_total", "Attempts to publish that failed and were repeated."),
		events:        counter("events_total", "File system events received."),
		overflows:     counter("overflows_total", "Times that events or names were dropped, each followed by a full scan."),
		rebuilds:      counter("watch_rebuilds_total", "Times that the folder was reopened because it had been replaced or lost."),
		writerBlind:   counter("writer_check_unavailable_total", "Files taken after a longer wait because writers could not be detected."),
		scanEntries:   gauge("scan_entries", "Entries seen by the last full scan."),
		scanSeconds:   histogram("scan_seconds", "Duration of full scans.", []float64{.001, .01, .1, 1, 10, 60, 600}),
		latency:       histogram("publish_seconds", "Time from the claim of a file to its publication.", []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 300}),
		deferred:      counters("deferred_total", "Times that a file was examined and not taken yet, by reason.", "reason", waitReasons),
		skipped:       counters("skipped_total", "Times that a name was skipped because it is never taken, by reason.", "reason", skipReasons),
		finished:      counters("finished_total", "Claimed files finished after their final event, by action.", "action", finishActions),
	}
}

// register registers c, or returns the collector that is already registered under its name.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	err := reg.Register(c)
	if have, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return have.ExistingCollector.(C)
	}
	if err != nil {
		panic(err) // same name with different labels: a bug in this file
	}

	return c
}
