package watch

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a name was not taken; the closed list of label values of skipped.
var skipReasons = []string{"excluded", "special", "hardlink", "mount"}

// Why a file waits; the closed list of label values of deferred.
var waitReasons = []string{"changing", "temporary", "empty", "writer", "done_file", "unreadable", "immovable", "fault", "own"}

// metrics of one watcher. The collectors are shared by all watchers of a registry and told
// apart by the label source.
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

// Ways that a claimed file can go; the closed list of label values of finished.
var finishActions = []string{"keep", "delete", "restore", "move", "resubmit"}

func newMetrics(reg prometheus.Registerer, source string) *metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	gauge := func(name, help string) prometheus.Gauge {
		return register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "backburn", Subsystem: "watch", Name: name, Help: help,
		}, []string{"source"})).WithLabelValues(source)
	}
	counter := func(name, help string) prometheus.Counter {
		return register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "backburn", Subsystem: "watch", Name: name, Help: help,
		}, []string{"source"})).WithLabelValues(source)
	}
	counters := func(name, help, label string, values []string) map[string]prometheus.Counter {
		vec := register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "backburn", Subsystem: "watch", Name: name, Help: help,
		}, []string{"source", label}))
		m := make(map[string]prometheus.Counter, len(values))
		for _, v := range values {
			m[v] = vec.WithLabelValues(source, v)
		}
		return m
	}
	histogram := func(name, help string, buckets []float64) prometheus.Observer {
		return register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "backburn", Subsystem: "watch", Name: name, Help: help, Buckets: buckets,
		}, []string{"source"})).WithLabelValues(source)
	}
	return &metrics{
		pending:       gauge("pending_files", "Names that wait to be judged or taken, in memory; the folder may hold more."),
		inFlight:      gauge("in_flight_files", "Files claimed and not yet finished."),
		oldest:        gauge("oldest_in_flight_timestamp_seconds", "When the oldest unfinished file was claimed; 0 if there is none."),
		oldestPending: gauge("oldest_pending_timestamp_seconds", "When the name was first met that has waited longest to be claimed; 0 if there is none."),
		free:          gauge("free_bytes", "Free space on the folder's file system."),
		held:          gauge("held_back", "1 while files wait because max_in_flight, free space or the queue allow no more claims."),
		troubled:      gauge("troubled_files", "Files that cannot be read, claimed or moved for longer than stale_after, for reasons of their own."),
		republished:   counter("republished_total", "Claimed files that the queue did not know of any more, and that were published again."),
		claimed:       counter("claimed_total", "Files claimed."),
		published:     counter("published_total", "Jobs published, repeats after restarts included."),
		retries:       counter("publish_retries_total", "Publishes that failed and were tried again."),
		events:        counter("events_total", "File system events received."),
		overflows:     counter("overflows_total", "Times that events or names were dropped and a scan made up for it."),
		rebuilds:      counter("watch_rebuilds_total", "Times that the folder was opened anew because it had been replaced or lost."),
		writerBlind:   counter("writer_check_unavailable_total", "Files taken without knowing whether a writer was left, after a longer wait."),
		scanEntries:   gauge("scan_entries", "Entries seen by the last full scan."),
		scanSeconds:   histogram("scan_seconds", "Duration of full scans.", []float64{.001, .01, .1, 1, 10, 60, 600}),
		latency:       histogram("publish_seconds", "Time from the claim of a file to its publication.", []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30, 300}),
		deferred:      counters("deferred_total", "Looks at files that had to wait, by reason.", "reason", waitReasons),
		skipped:       counters("skipped_total", "Names that are not to be taken, each time they are met, by reason.", "reason", skipReasons),
		finished:      counters("finished_total", "Claimed files that were dealt with after their final event, by action.", "action", finishActions),
	}
}

// register returns the collector that the registry has by this name, which is c if it is
// the first.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	err := reg.Register(c)
	if have, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return have.ExistingCollector.(C)
	}
	if err != nil {
		panic(err) // two collectors of one name and different labels: a mistake in this file
	}
	return c
}
