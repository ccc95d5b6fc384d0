package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// A pause by a person lasts until its end, or until a person resumes the budget. Jobs wait
// meanwhile.
func TestAPersonPausesUploads(t *testing.T) {
	t.Parallel()
	c := &clock{}
	f := newFixture(t, wildfiretest.WithNow(c.now))
	f.startWorker(worker.WithClock(c.now))
	store := f.q.Control()
	p, err := fleet.PauseManually(t.Context(), store, pipeline.Uploads, "alice", "the proxy is being changed", c.now(), c.now().Add(4*time.Hour))
	if err != nil || p.Reason != "paused by alice: the proxy is being changed" || p.By != "alice" {
		t.Fatalf("%+v, %v", p, err)
	}
	f.waitStatus(func(st queue.Status) bool { return st.Paused[pipeline.Uploads].By == "alice" })
	f.submitRaw("waits", "mail", "a.exe", "MZ a")
	f.waitStatus(func(st queue.Status) bool { return st.Parked.Jobs == 1 })
	if n := f.wildfire.Count(wildfire.OpSubmitFile); n != 0 {
		t.Errorf("%d uploads during the pause", n)
	}

	// After a resume, uploads continue at once.
	was, err := fleet.Resume(t.Context(), store, pipeline.Uploads, c.now())
	if err != nil || was.By != "alice" {
		t.Errorf("%+v, %v", was, err)
	}
	f.waitEvents(1)
	if was, err = fleet.Resume(t.Context(), store, pipeline.Uploads, c.now()); err != nil || was != (fleet.Pause{}) {
		t.Errorf("resumed twice: %+v, %v", was, err)
	}

	// Without a resume, the pause ends by itself.
	if _, err = fleet.PauseManually(t.Context(), store, pipeline.Uploads, "bob", "", c.now(), c.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	f.submitRaw("later", "mail", "b.exe", "MZ b")
	f.waitStatus(func(st queue.Status) bool { return st.Parked.Jobs == 1 })
	c.advance(61 * time.Minute)
	f.waitEvents(2)
}

// After a pause by a person no fault can remain, so no probe is needed while the others wait.
func TestAPersonsPauseNeedsNoProbe(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t)
	store := f.q.Control()
	if _, err := fleet.PauseManually(t.Context(), store, pipeline.Uploads, "bob", "", c.now(), c.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	pauses := fleet.NewPauses(store, c.now, time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error { return pauses.Run(ctx) })
	for known := false; !known; time.Sleep(time.Millisecond) {
		_, known, _ = pauses.Active(pipeline.Uploads)
	}

	c.advance(61 * time.Minute)
	if err := pauses.Wait(ctx, pipeline.Uploads); err != nil {
		t.Error(err)
	}
	stored, _, err := fleet.Get[fleet.Pause](t.Context(), store, "pause.uploads")
	if err != nil || stored != (fleet.Pause{}) {
		t.Errorf("what is left: %+v, %v", stored, err)
	}
	cancel()
	_ = g.Wait()
}

// A budget that is used up can be neither paused nor resumed.
func TestASpentBudgetCannotBeResumed(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now), wildfiretest.WithQuota(1, 0))
	f.startWorker(worker.WithClock(c.now))
	f.submitRaw("first", "mail", "1.exe", "MZ 1")
	f.waitEvents(1)
	f.submitRaw("second", "mail", "2.exe", "MZ 2")
	f.waitStatus(func(st queue.Status) bool { return st.Paused[pipeline.Uploads].Spent })
	store := f.q.Control()
	if _, err := fleet.Resume(t.Context(), store, pipeline.Uploads, c.now()); !errors.Is(err, fleet.ErrSpent) {
		t.Errorf("resume: %v", err)
	}
	if p, err := fleet.PauseManually(t.Context(), store, pipeline.Uploads, "alice", "", c.now(), c.now().Add(time.Hour)); !errors.Is(err, fleet.ErrSpent) || !p.Spent {
		t.Errorf("stop for an hour: %+v, %v", p, err)
	}
	if p, err := fleet.PauseManually(t.Context(), store, pipeline.Uploads, "alice", "", c.now(), c.now().Add(48*time.Hour)); err != nil || p.By != "alice" {
		t.Errorf("stop beyond the reset: %+v, %v", p, err)
	}
}

// The answer to a repeated question serves everyone: jobs that wait for a verdict, and jobs that
// got an older one.
func TestRecheck(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.FirstPoll = time.Hour // no regular query happens within this time
	f.cfg.MaxPoll = time.Hour
	f.startWorker()
	f.submitRaw("job", "mail", "changed.exe", "MZ changed")
	f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) == 1 })

	ctx, cancel := context.WithCancel(t.Context())
	client := poller.NewClient(f.q, fleet.NewPauses(f.q.Control(), time.Now, time.Second), nil, f.cfg.Lease)
	var g errgroup.Group
	g.Go(func() error { return client.Run(ctx) })
	g.Go(func() error {
		for pipeline.Sleep(ctx, 50*time.Millisecond) == nil {
			_, err := client.Ask(ctx, poller.Question{Key: sha256Hex("MZ changed"), Recheck: true})
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	})
	f.waitEvents(1)
	if !f.wildfire.SetVerdict("", sha256Hex("MZ changed"), wildfire.Malware) {
		t.Fatal("WildFire does not know it")
	}
	all := f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Changed)) == 1 })
	cancel()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if ev := all.onlyOf(t, "job"); ev.Data.Verdict != "benign" {
		t.Errorf("the first verdict is %s", ev.Data.Verdict)
	}
	if ev := all.ofType(results.Changed)[0]; ev.Data.Verdict != "malware" {
		t.Errorf("the second verdict is %s", ev.Data.Verdict)
	}
}

// The same for a link: a job that waits for its verdict gets the answer, and a job with an older
// verdict gets a changed event.
func TestRecheckOfALink(t *testing.T) {
	t.Parallel()
	const link, other = "https://example.com/login", "https://example.com/"
	f := newFixture(t)
	f.cfg.FirstPoll = time.Hour // no regular query happens within this time
	f.cfg.MaxPoll = time.Hour
	for _, url := range []string{link, other} {
		f.wildfire.Know(wildfiretest.Known{URL: url, Verdict: wildfire.Benign})
	}
	f.startWorker()
	for id, url := range map[string]string{"a": link, "b": other} {
		err := submit(t.Context(), f.q, pipeline.Job{
			ID:       id,
			Source:   "proxy",
			Priority: pipeline.Normal,
			Version:  1,
			Kind:     pipeline.KindURL,
			URL:      url,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	f.waitEvents(2)

	f.wildfire.Know(wildfiretest.Known{URL: link, Verdict: wildfire.Phishing})
	f.wildfire.Know(wildfiretest.Known{URL: other, Verdict: wildfire.Phishing})
	ctx, cancel := context.WithCancel(t.Context())
	client := poller.NewClient(f.q, fleet.NewPauses(f.q.Control(), time.Now, time.Second), nil, f.cfg.Lease)
	var g errgroup.Group
	g.Go(func() error { return client.Run(ctx) })
	answer, err := client.Ask(ctx, poller.Question{Key: pipeline.LinkKey(link), URL: link, Recheck: true})
	if err != nil || answer.Verdict != wildfire.Phishing {
		t.Errorf("WildFire says %s, %v", answer.Verdict, err)
	}

	all := f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Changed)) == 1 })
	ev := all.ofType(results.Changed)[0]
	if ev.Data.JobID != "a" || ev.Data.URL != link || ev.Data.Verdict != "phishing" {
		t.Errorf("changed event: %+v", ev.Data)
	}

	// An answer about one link is never recorded for another.
	asked := f.wildfire.Count(wildfire.OpVerdict)
	wrong, stop := context.WithTimeout(ctx, 2*time.Second)
	_, err = client.Ask(wrong, poller.Question{Key: pipeline.LinkKey(other), URL: link, Recheck: true})
	stop()
	if n := f.wildfire.Count(wildfire.OpVerdict); !errors.Is(err, context.DeadlineExceeded) || n != asked {
		t.Errorf("a question with another link's key: %v, %d calls", err, n-asked)
	}
	cancel()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
