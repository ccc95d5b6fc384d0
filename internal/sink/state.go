package sink

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The states of a sink.
const (
	StateOK       = "ok"
	StateRetrying = "retrying" // the receiver is unavailable or failing
	StatePaused   = "paused"   // waiting for a change of configuration
)

// Status is the state of a sink.
type Status struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"` // ok, retrying or paused
	Since    time.Time `json:"since"` // when the state began
	Cause    string    `json:"cause,omitempty"`
	Remedy   string    `json:"remedy,omitempty"`
	Event    string    `json:"event,omitempty"`    // delivery ID of the event being retried
	Attempts int       `json:"attempts,omitempty"` // attempts for that event
	Last     time.Time `json:"last,omitzero"`      // when an event was last finished
	Behind   uint64    `json:"behind"`             // pending events, including the current one
}

// state holds the Status. It has one writer and many readers.
type state struct {
	mu     sync.Mutex
	s      Status
	warned time.Time
}

func (s *state) begin(cfg Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s = Status{Name: cfg.Name, Kind: cfg.Kind, State: StateOK, Since: time.Now().UTC()}
}

func (s *state) get() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.s
}

func (s *state) holds(event string, behind uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Event = event
	s.s.Behind = behind
	s.s.Attempts = 0
}

func (s *state) behind(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Behind = n
}

// fails records a fault, and reports whether to log it: when it is new, and then at intervals.
func (s *state) fails(f *Fault, attempt int, every time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := StateRetrying
	if f.Kind == Misconfigured {
		is = StatePaused
	}
	now := time.Now().UTC()
	log := s.s.State != is || s.s.Cause != f.Error() || now.Sub(s.warned) >= every
	if s.s.State != is {
		s.s.State, s.s.Since = is, now
	}
	s.s.Cause = f.Error()
	s.s.Remedy = f.Remedy
	s.s.Attempts = attempt
	if log {
		s.warned = now
	}

	return log
}

// works records a success. If it ends a fault, it returns true and when the fault began.
func (s *state) works(behind uint64) (since time.Time, was bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	since, was = s.s.Since, s.s.State != StateOK
	if was {
		s.s.Since = now
	}
	s.s.State = StateOK
	s.s.Last = now
	s.s.Behind = behind
	s.s.Cause = ""
	s.s.Remedy = ""
	s.s.Event = ""
	s.s.Attempts = 0

	return since, was
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

// register registers all metrics on reg, or none.
func (m *metrics) register(reg prometheus.Registerer) error {
	for i, c := range m.all {
		if err := reg.Register(c); err != nil {
			for _, done := range m.all[:i] {
				reg.Unregister(done)
			}
			return err
		}
	}

	return nil
}

func (m *metrics) unregister(reg prometheus.Registerer) {
	for _, c := range m.all {
		reg.Unregister(c)
	}
}
