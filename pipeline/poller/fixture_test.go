package poller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

// fixture is a poller on a real queue, with a WildFire of the test's own. The poller does not run.
type fixture struct {
	*Poller

	t      *testing.T
	logged chan string // the messages of warnings
}

const patience = 30 * time.Second

func newFixture(t *testing.T, verdicts VerdictClient) *fixture {
	t.Helper()
	ns, err := server.NewServer(&server.Options{
		ServerName: "test",
		Host:       "127.0.0.1",
		Port:       server.RANDOM_PORT,
		JetStream:  true,
		StoreDir:   t.TempDir(),
		NoSigs:     true,
		NoLog:      true,
	})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the NATS server did not start")
	}
	nc, err := nats.Connect(ns.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)

	cfg := pipeline.DefaultConfig()
	cfg.Lease = 3 * time.Second
	q, err := queue.Open(t.Context(), nc, queue.Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    cfg.Lease,
		Results:  queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30},
	})
	if err != nil {
		t.Fatal(err)
	}

	f := &fixture{t: t, logged: make(chan string, 1000)}
	quota := func(b pipeline.Budget) *fleet.Quota { return fleet.NewQuota(q.Control(), b, 0, 0, time.Now) }
	f.Poller = New(Deps{
		Queue:       q,
		Member:      fleet.Join(q.Control(), cfg.Lease, fleet.Process{Role: "worker", Slots: 1}),
		Pauses:      fleet.NewPauses(q.Control(), time.Now, time.Second),
		Verdicts:    verdicts,
		Queries:     quota(pipeline.Queries),
		Uploads:     quota(pipeline.Uploads),
		RuleBudgets: fleet.NewRuleBudgets(q.Control(), nil, time.Now),
		Settings:    pipeline.NewSettings(cfg),
		Log:         zerolog.New(f),
		Metrics: Metrics{
			Pending:  prometheus.NewGauge(prometheus.GaugeOpts{}),
			Parked:   prometheus.NewGauge(prometheus.GaugeOpts{}),
			Queries:  prometheus.NewCounter(prometheus.CounterOpts{}),
			Failed:   prometheus.NewCounter(prometheus.CounterOpts{}),
			Hashes:   prometheus.NewHistogram(prometheus.HistogramOpts{}),
			Finished: func(results.Event) {},

			ReportsWaiting: prometheus.NewGauge(prometheus.GaugeOpts{}),
		},
		Now:  time.Now,
		Tick: 10 * time.Millisecond,
	})
	f.list = newWaitlist()
	if err := f.finisher.published.load(t.Context(), q); err != nil {
		t.Fatal(err)
	}

	return f
}

// Write passes on what the poller logs.
func (f *fixture) Write(line []byte) (int, error) {
	select {
	case f.logged <- string(line):
	default:
	}

	return len(line), nil
}

// waitLogged waits until the poller logs a message.
func (f *fixture) waitLogged(message string) {
	f.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line := <-f.logged:
			if strings.Contains(line, message) {
				return
			}
		case <-timeout:
			f.t.Fatalf("%q was not logged", message)
		}
	}
}

// pendingJob writes a job that waits for a sample which is pending at WildFire.
func (f *fixture) pendingJob(id string) (m *queue.Message, sample queue.SampleEntry, revision uint64) {
	f.t.Helper()
	m = &queue.Message{Raw: true, Contents: []byte("MZ " + id)}
	m.Job = pipeline.Job{
		ID:       id,
		Source:   "mail",
		Priority: pipeline.Normal,
		Version:  1,
		Kind:     pipeline.KindFile,
		Filename: "a.exe",
	}
	m.Job.SetVerified(digest(len(id)), int64(len(m.Contents)))
	sample = queue.SampleEntry{Key: m.Job.SHA256, Sample: pipeline.Sample{
		State:       pipeline.StatePending,
		Job:         m.Job.Ref().String(),
		SubmittedAt: time.Now(),
	}}
	ledger := f.Queue.Ledger()
	s := ledger.SampleUpdate(sample)
	w := ledger.WaitingUpdate(m, queue.Waiting{Sample: sample.Key, Basis: results.BasisUpload, Pending: time.Now()}, 0)
	if err := ledger.Commit(f.t.Context(), s, w); err != nil {
		f.t.Fatal(err)
	}
	sample.Revision = s.Revision

	return m, sample, w.Revision
}

// refuseEvents makes RESULTS refuse every event, until accept is called.
func (f *fixture) refuseEvents() (accept func()) {
	f.t.Helper()

	return f.refuse(f.Queue.ResultsStream())
}

// refuse makes a stream refuse every message, until accept is called.
func (f *fixture) refuse(stream string) (accept func()) {
	f.t.Helper()
	update := func(maxSize int32) {
		f.t.Helper()
		js := f.Queue.JetStream()
		s, err := js.Stream(f.t.Context(), stream)
		if err != nil {
			f.t.Fatal(err)
		}
		c := s.CachedInfo().Config
		c.MaxMsgSize = maxSize
		if _, err := js.UpdateStream(f.t.Context(), c); err != nil {
			f.t.Fatal(err)
		}
	}
	update(10)

	return func() { update(-1) }
}

// events returns the number of events in RESULTS.
func (f *fixture) events() uint64 {
	f.t.Helper()
	s, err := f.Queue.JetStream().Stream(f.t.Context(), f.Queue.ResultsStream())
	if err != nil {
		f.t.Fatal(err)
	}

	return s.CachedInfo().State.Msgs
}

// run runs the poller and its membership until the test ends.
func (f *fixture) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- f.Member.Run(ctx) }()
	go func() { done <- f.Poller.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			f.t.Error(err)
		}
	})
}

// letAnotherLead writes another worker as the leader.
func (f *fixture) letAnotherLead() {
	f.t.Helper()
	err := fleet.Change(f.t.Context(), f.Queue.Control(), "leader", func(l *map[string]string) bool {
		*l = map[string]string{"owner": "another"}
		return true
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

var malware = wildfire.VerdictRecord{HasVerdict: true, Verdict: wildfire.Malware}
