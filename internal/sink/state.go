package sink

import (
	"cmp"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backburn/internal/health"
)

// The states of a sink.
const (
	StateOK       = "ok"
	StateRetrying = "retrying" // the receiver is unavailable or failing
	StatePaused   = "paused"   // waiting for a change of configuration
)

// Status is the state of a sink.
type Status struct {
	Name     string       `json:"name"`
	Kind     string       `json:"kind"`
	State    string       `json:"state"`           // ok, retrying or paused
	Since    time.Time    `json:"since"`           // when the state began
	Cause    string       `json:"cause,omitempty"` // text of the present fault
	Class    health.Cause `json:"-"`               // class of that fault
	Remedy   string       `json:"remedy,omitempty"`
	Event    string       `json:"event,omitempty"`    // delivery ID of the event being retried
	Attempts int          `json:"attempts,omitempty"` // attempts for that event
	Last     time.Time    `json:"last,omitzero"`      // when an event was last finished
	Behind   uint64       `json:"behind"`             // pending events, including the current one
}

// state holds the Status. The running sink changes it, and any goroutine may read it.
type state struct {
	mu       sync.Mutex
	status   Status
	warnedAt time.Time // when a fault was last logged
}

func (s *state) begin(cfg Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = Status{Name: cfg.Name, Kind: cfg.Kind, State: StateOK, Since: time.Now().UTC()}
}

func (s *state) get() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *state) startEvent(event string, behind uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Event = event
	s.status.Behind = behind
	s.status.Attempts = 0
}

func (s *state) setBehind(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Behind = n
}

// recordFault records a fault, and reports whether to log it: when its class or its remedy is new,
// and then at intervals. The text does not count, because it may contain the port of a connection.
func (s *state) recordFault(f *Fault, attempt int, every time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := StateRetrying
	if f.Kind == Misconfigured {
		next = StatePaused
	}
	now := time.Now().UTC()
	class := cmp.Or(f.Cause, health.CauseOther)
	log := s.status.State != next || s.status.Class != class || s.status.Remedy != f.Remedy || now.Sub(s.warnedAt) >= every
	if s.status.State != next {
		s.status.State, s.status.Since = next, now
	}
	s.status.Cause = f.Error()
	s.status.Class = class
	s.status.Remedy = f.Remedy
	s.status.Attempts = attempt
	if log {
		s.warnedAt = now
	}

	return log
}

// recordSuccess records a success. If the success ends a fault, recordSuccess returns true and when
// the fault began.
func (s *state) recordSuccess(behind uint64) (since time.Time, recovered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.status
	s.status = Status{
		Name:   before.Name,
		Kind:   before.Kind,
		State:  StateOK,
		Since:  before.Since,
		Last:   time.Now().UTC(),
		Behind: behind,
	}
	if before.State != StateOK {
		s.status.Since = s.status.Last
	}

	return before.Since, before.State != StateOK
}

// metrics are the metrics of a sink.
type metrics struct {
	sent, dead, skipped prometheus.Counter
	failed              map[Kind]prometheus.Counter

	all []prometheus.Collector
}

func newMetrics(name string, s *state) *metrics {
	sink := prometheus.Labels{"sink": name}
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name:        "backburn_sink_events_total",
		Help:        "Events that a sink has finished.",
		ConstLabels: sink,
	}, []string{"outcome"})
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name:        "backburn_sink_failed_tries_total",
		Help:        "Failed attempts to deliver an event.",
		ConstLabels: sink,
	}, []string{"fault"})
	paused := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "backburn_sink_paused",
		Help:        "1 while the receiver or the sink is misconfigured.",
		ConstLabels: sink,
	}, func() float64 {
		if s.get().State == StatePaused {
			return 1
		}
		return 0
	})
	behind := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "backburn_sink_behind_events",
		Help:        "Events pending for a sink, as of its last attempt.",
		ConstLabels: sink,
	}, func() float64 { return float64(s.get().Behind) })

	m := &metrics{
		all:     []prometheus.Collector{events, failed, paused, behind},
		sent:    events.WithLabelValues("sent"),
		dead:    events.WithLabelValues("dead_lettered"),
		skipped: events.WithLabelValues("skipped"),
		failed:  map[Kind]prometheus.Counter{},
	}
	for _, k := range Kinds() {
		m.failed[k] = failed.WithLabelValues(string(k))
	}

	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all {
		c.Collect(ch)
	}
}
