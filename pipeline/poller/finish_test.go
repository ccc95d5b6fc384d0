package poller

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

// All jobs of a sample end while WildFire is asked about it. The verdict is recorded all the same,
// so that a later job with the same contents needs no query.
func TestAVerdictIsRecordedWithoutWaitingJobs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	_, sample, _ := f.pendingJob("gone")
	e := f.list.add(idOf(t, sample.Key), waitingJob{name: "mail.gone", seq: 1}, time.Now())
	e.busy = true
	f.finisher.forget(e, e.job)

	f.finisher.handleAnswer(t.Context(), e, malware, true)

	s, err := f.Queue.Ledger().Sample(t.Context(), sample.Key)
	if err != nil || s.State != pipeline.StateVerdict {
		t.Errorf("the sample is %+v, %v", s, err)
	}
}

// An event is recorded in the ledger, but RESULTS refuses it for a while. It is published as soon
// as RESULTS accepts it, and the published mark moves on.
func TestARecordedEventIsPublishedLater(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	_, sample, revision := f.pendingJob("late")
	e := f.list.add(idOf(t, sample.Key), waitingJob{name: "mail.late", seq: revision}, time.Now())
	e.busy = true
	accept := f.refuseEvents()

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.finisher.handleAnswer(t.Context(), e, malware, true)
	}()
	f.waitLogged("cannot publish a recorded event")
	accept()

	<-ended
	if n := f.events(); n != 1 {
		t.Errorf("%d events were published, want 1", n)
	}
	f.finisher.published.recordSeen(revision + 100)
	if got := f.finisher.published.sequence(); got != revision+100 {
		t.Errorf("the published mark is %d, want %d", got, revision+100)
	}
}

// A report was published before a job with the same contents ended. The report becomes owed to the
// job's source even if RESULTS refuses the job's event at first.
func TestAReportIsOwedAfterALateEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cfg := f.config()
	cfg.ReportVerdicts = []string{"malware"}
	f.Settings.Set(cfg)
	_, sample, revision := f.pendingJob("owed")
	_, err := f.Queue.Ledger().ChangeSample(t.Context(), sample.Key, func(s *pipeline.Sample) bool {
		s.State = pipeline.StateVerdict
		s.Verdict = int(wildfire.Malware)
		s.DecidedAt = time.Now()
		s.CheckedAt = s.DecidedAt
		s.Reported(results.ReportAvailable, []string{"proxy"}, s.DecidedAt)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	e := f.list.add(idOf(t, sample.Key), waitingJob{name: "mail.owed", seq: revision}, time.Now())
	e.busy = true
	accept := f.refuseEvents()

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.finisher.check(t.Context(), e)
	}()
	f.waitLogged("cannot publish a recorded event")
	accept()

	<-ended
	s, err := f.Queue.Ledger().Sample(t.Context(), sample.Key)
	if err != nil {
		t.Fatal(err)
	}
	if _, owed := s.Report.Owed["mail"]; !owed {
		t.Errorf("the report is %+v, not owed to the job's source", s.Report)
	}
}

// A poller that no longer leads stops, even while it cannot publish the events of an earlier
// leader.
func TestAPollerStopsWhenAnotherLeads(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	m, sample, revision := f.pendingJob("unpublished")
	f.refuseEvents()
	_, err := f.Queue.Events().Finish(t.Context(), m, queue.Ending{
		Event:  pipeline.FailedEvent(m.Job, results.Error{Reason: results.VerdictTimeout}, 0, time.Now()),
		Sample: sample.Key,
		Entry:  queue.JobEntry{JobHeader: queue.JobHeader{Revision: revision, State: queue.JobWaiting, Sample: sample.Key}},
		By:     "earlier",
	})
	if err == nil {
		t.Fatal("RESULTS accepts events")
	}

	f.run()
	f.waitLogged("cannot publish a recorded event")
	f.letAnotherLead()
	f.waitLogged("another worker leads")
}

// followedGauge is a gauge that keeps its value, and reports when that becomes 1.
type followedGauge struct {
	prometheus.Gauge
	value atomic.Int64
	isOne chan struct{}
}

func (g *followedGauge) Set(v float64) {
	if g.value.Store(int64(v)); v == 1 {
		signal(g.isOne)
	}
}

// Only the leader counts waiting jobs, so that the sum over all workers is their number.
func TestAFormerLeaderCountsNoJobs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	pending := &followedGauge{isOne: make(chan struct{}, 1)}
	f.Metrics.Pending = pending
	f.pendingJob("waiting")
	f.run()
	select {
	case <-pending.isOne:
	case <-time.After(patience):
		t.Fatal("the leader does not count the job")
	}

	f.letAnotherLead()
	f.waitLogged("another worker leads")
	if n := pending.value.Load(); n != 0 {
		t.Errorf("%d jobs wait in a process that no longer leads", n)
	}
}

// The number of goroutines is bounded, however many samples are due.
func TestTasksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shared{taskLimit: make(chan struct{}, maxTasks)}
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		for range maxTasks {
			s.async(ctx, func() { <-release })
		}

		returned := false
		go func() {
			s.async(ctx, func() { t.Error("one more function runs") })
			returned = true
		}()
		synctest.Wait()
		if returned {
			t.Error("one more function waits in a goroutine of its own")
		}

		cancel()
		synctest.Wait()
		if !returned {
			t.Error("the wait does not end with its context")
		}
		close(release)
		s.tasks.Wait()
	})
}
