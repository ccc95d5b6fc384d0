package poller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
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
	err = fleet.Change(t.Context(), f.Queue.Control(), "leader", func(l *map[string]string) bool {
		*l = map[string]string{"owner": "another"}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	f.waitLogged("another worker leads")
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
