package watch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// TestQueueLosesItsStore makes the queue forget a job whose file is claimed. The running watcher
// publishes it again, with the same ID. It does not publish jobs again that the queue has.
func TestQueueLosesItsStore(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{watch.ClaimMove, watch.ClaimKeep} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) { c.Claim = claim })
			r.options = []watch.Option{watch.WithCatalog(r.intake)}
			r.write("sub/a", "contents")
			r.start(func(w *watch.Watcher) { w.SetReconcile(10*time.Millisecond, time.Millisecond) })
			first := r.intake.wait(t, 1)[0]

			r.intake.loseJobs()
			again := r.intake.wait(t, 2)[1]
			if again.ID != first.ID || again.SHA256 != first.SHA256 || again.Path != first.Path {
				t.Errorf("published again as %+v, first as %+v", again, first)
			}
			if first.Repeated || !again.Repeated {
				t.Errorf("marked as repeats: first %t, then %t", first.Repeated, again.Repeated)
			}
			waitFor(t, "the metric", func() bool { return r.gauge("republished_total") == 1 })
			waitFor(t, "the folder to be healthy", func() bool { return r.w.Status().State == watch.StateOK })
			r.outcomes.send(verdict(again, "benign"))
			r.outcomes.waitHandled(t)
			if n := r.w.Status().InFlight; n != 0 {
				t.Errorf("%d files are in flight", n)
			}
			if n := len(r.intake.all()); n != 2 {
				t.Errorf("%d publications, want 2", n)
			}
		})
	}
}

// TestLostJobWhileTheStoreFails checks that a job which the queue has lost is still marked as a
// repeat if its contents can be stored only later.
func TestLostJobWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Claim, c.Transfer = watch.ClaimKeep, watch.TransferObject })
	r.options = []watch.Option{watch.WithCatalog(r.intake)}
	r.write("a", "contents")
	r.start(func(w *watch.Watcher) { w.SetReconcile(10*time.Millisecond, time.Millisecond) })
	first := r.intake.wait(t, 1)[0]

	r.objects.mu.Lock()
	r.objects.fail = errors.New("the store is unavailable")
	r.objects.mu.Unlock()
	r.intake.loseJobs()
	waitFor(t, "the fault", func() bool { return strings.Contains(r.w.Status().Reason, "the store is unavailable") })
	r.objects.mu.Lock()
	r.objects.fail = nil
	r.objects.mu.Unlock()

	if again := r.intake.wait(t, 2)[1]; again.ID != first.ID || !again.Repeated {
		t.Errorf("published again as %+v, first as %+v", again, first)
	}
}

// TestLostJobOfARemovedFile makes the queue forget a job whose file was removed. The job no longer
// counts as in flight, also after a restart.
func TestLostJobOfARemovedFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Claim = watch.ClaimKeep })
	r.write("a", "contents")
	recorded := make(chan struct{}, 1)
	r.start(func(w *watch.Watcher) {
		w.SetStep(func(step string) {
			if step == "recorded" {
				recorded <- struct{}{}
			}
		})
	})
	<-recorded
	r.stop()

	must(t, os.Remove(r.path("a")))
	r.intake.loseJobs()
	r.options = []watch.Option{watch.WithCatalog(r.intake)}
	reconcile := func(w *watch.Watcher) { w.SetReconcile(10*time.Millisecond, time.Millisecond) }
	r.start(reconcile)
	waitFor(t, "scans", afterScans(r, 1))
	waitFor(t, "the job to be forgotten", func() bool { return r.w.Status().InFlight == 0 })
	r.stop()
	r.options = nil
	r.start()
	waitFor(t, "scans", afterScans(r, 2))
	if n := r.w.Status().InFlight; n != 0 {
		t.Errorf("%d files are in flight after a restart", n)
	}
}

// TestVerdictBeforeTheRecord stops a watcher after a publication and before its record. The job
// ends before the file is taken again, and does not count as in flight.
func TestVerdictBeforeTheRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Claim = watch.ClaimKeep })
	published := make(chan pipeline.Job, 1)
	r.intake.setRefuse(func(j pipeline.Job) error {
		select {
		case published <- j:
		default:
		}
		return errors.New("the answer was lost")
	})
	r.write("a", "contents")
	r.start()
	job := <-published
	r.stop()

	elsewhere := filepath.Join(t.TempDir(), "a") // until the watcher has received the event
	must(t, os.Rename(r.path("a"), elsewhere))
	r.outcomes.send(verdict(job, "benign"))
	r.intake.setRefuse(nil)
	recorded := make(chan struct{}, 1)
	r.start(func(w *watch.Watcher) {
		w.SetStep(func(step string) {
			if step == "recorded" {
				recorded <- struct{}{}
			}
		})
	})
	r.outcomes.waitHandled(t)
	must(t, os.Rename(elsewhere, r.path("a")))
	<-recorded
	if again := r.intake.all()[0]; again.ID != job.ID {
		t.Errorf("published as %s, before as %s", again.ID, job.ID)
	}
	if n := r.w.Status().InFlight; n != 0 {
		t.Errorf("%d files are in flight", n)
	}
}

// emptyCatalog knows no jobs, like a queue that has just been created. Each query waits until the
// test has received its IDs.
type emptyCatalog struct{ asked chan []string }

func (c emptyCatalog) Unknown(ctx context.Context, _ string, ids []string) ([]string, error) {
	select {
	case c.asked <- ids:
		return ids, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestFileThatIsNotYetPublishedIsNotPublishedTwice makes the queue refuse a job for a while. The
// watcher must not query the catalog about this job, or each query would start another publication.
func TestFileThatIsNotYetPublishedIsNotPublishedTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := emptyCatalog{make(chan []string)}
	r.options = []watch.Option{watch.WithCatalog(c)}
	r.intake.setRefuse(func(pipeline.Job) error { return pipeline.ErrFull })
	r.write("a", "x")
	r.start(func(w *watch.Watcher) { w.SetReconcile(time.Millisecond, 0) })
	waitFor(t, "scans", afterScans(r, 3))
	select {
	case ids := <-c.asked:
		t.Errorf("queried %v", ids)
	default:
	}
	r.intake.setRefuse(nil)
	r.intake.wait(t, 1)
	if ids := <-c.asked; len(ids) != 1 {
		t.Errorf("queried %v", ids)
	}
}

// stuckIntake does not return until its context ends.
type stuckIntake struct{ *fakeIntake }

func (stuckIntake) Publish(ctx context.Context, _ pipeline.Job) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestIntakeThatNeverReturns has an intake that keeps retrying. The status must show that files are
// waiting.
func TestIntakeThatNeverReturns(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.write("a", "x")
	w, err := watch.New(r.cfg, stuckIntake{r.intake}, r.outcomes, nil)
	must(t, err)
	w.SetPublishWait(10 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	waitFor(t, "the fault to be seen", func() bool { return w.Status().State != watch.StateOK && w.Status().InFlight == 1 })
	cancel()
	must(t, <-ended)
}
