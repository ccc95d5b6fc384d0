package pipeline_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// clock is a time of day that a test can set.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// clockAtNoon is a clock that starts at noon UTC, far from any reset. The queue's status uses the
// real time, so it may call a pause that ends before the reset over.
func clockAtNoon() *clock {
	now := time.Now().UTC()
	y, m, d := now.Date()
	return &clock{offset: time.Date(y, m, d, 12, 0, 0, 0, time.UTC).Sub(now)}
}

// The fleet counts by itself: the service never gets more calls than the budget allows, the reserve
// serves urgent jobs, and the remaining jobs continue after the reset.
func TestABudgetLastsTheDay(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now))
	f.cfg.UploadsPerDay, f.cfg.ReservePercent = 20, 10
	f.startWorker(worker.WithClock(c.now))
	f.startWorker(worker.WithClock(c.now))
	const jobs = 40
	for i := range jobs {
		f.submitRaw(fmt.Sprint("job-", i), "mail", fmt.Sprintf("%d.exe", i), fmt.Sprint("MZ ", i))
	}
	f.waitEvents(18) // 20, less the reserve
	for i := range 2 {
		f.publish("backburn.jobs.urgent.mail", nats.Header{nats.MsgIdHdr: {fmt.Sprint("urgent-", i)}, queue.HeaderFilename: {"u.exe"}}, fmt.Sprint("MZ urgent ", i))
	}
	all := f.waitEvents(20)
	for i := range 2 {
		all.onlyOf(t, fmt.Sprint("urgent-", i))
	}
	if n := f.wildfire.Count(wildfire.OpSubmitFile); n != 20 {
		t.Errorf("%d uploads, want exactly the budget of 20", n)
	}
	st, err := f.q.Status(t.Context(), f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Dead) != 0 {
		t.Errorf("dead letters: %v", st.Dead)
	}
	c.advance(13 * time.Hour)
	f.waitEvents(38)
	if n := f.wildfire.CountStatus(wildfire.OpSubmitFile, 419); n != 0 {
		t.Errorf("the service had to say 419 %d times", n)
	}
}

// The service's day may end later than ours. A call that is refused just after the reset is retried
// soon, not a day later.
func TestTheServiceResetsLate(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now), wildfiretest.WithQuota(3, 0), wildfiretest.WithResetLag(5*time.Minute))
	f.cfg.UploadsPerDay, f.cfg.ReservePercent = 3, 0
	f.startWorker(worker.WithClock(c.now))
	f.startWorker(worker.WithClock(c.now))
	const jobs = 6
	for i := range jobs {
		f.submitRaw(fmt.Sprint("job-", i), "mail", fmt.Sprintf("%d.exe", i), fmt.Sprint("MZ ", i))
	}
	f.waitEvents(3)
	f.waitStatus(func(st queue.Status) bool { return st.Pending.Jobs+st.Parked.Jobs == 3 })
	c.advance(12*time.Hour + 100*time.Second)
	f.waitStatus(func(st queue.Status) bool { return !st.Paused[pipeline.Uploads].Until.IsZero() })
	c.advance(11 * time.Minute)
	all := f.waitEvents(jobs)
	for i := range jobs {
		if ev := all.onlyOf(t, fmt.Sprint("job-", i)); ev.Type != results.Verdict || ev.Data.Attempts > 1 {
			t.Errorf("job %d ended %s after %d attempts", i, ev.Outcome(), ev.Data.Attempts)
		}
	}
}

// 419 for queries does not stop uploads, and 419 for uploads does not stop queries.
func TestBudgetsAreParkedIndependently(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.AskFirst = false
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpVerdicts, Fault: wildfiretest.Fault{Status: 419}})
	f.startWorker()
	f.submitRaw("a", "mail", "a.exe", "MZ a")
	f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) == 1 })
	st := f.waitStatus(func(st queue.Status) bool { return !st.Paused[pipeline.Queries].Until.IsZero() })
	if _, on := st.Paused[pipeline.Uploads]; on {
		t.Error("uploads are paused, too")
	}
	f.submitRaw("b", "mail", "b.exe", "MZ b")
	f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) == 2 })
}

// While queries are stopped, jobs that need no answer continue, however many jobs wait for one.
func TestSpentQueriesDelayOnlyJobsThatNeedThem(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now))
	f.startWorker(worker.WithClock(c.now))
	f.submitRaw("first", "mail", "x.exe", "MZ known here")
	f.waitEvents(1)
	remove := f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpVerdicts, Fault: wildfiretest.Fault{Status: 419}})
	const jobs = 300 // more jobs of one source than a worker holds
	for i := range jobs {
		f.submitRaw(fmt.Sprint("job-", i), "mail", fmt.Sprintf("%d.exe", i), fmt.Sprint("MZ ", i))
	}
	f.submitRaw("known", "mail", "y.exe", "MZ known here")
	f.waitEvents(2).onlyOf(t, "known")
	f.waitStatus(func(st queue.Status) bool { return st.Pending.Jobs+st.Parked.Jobs == jobs })
	if n := f.wildfire.Count(wildfire.OpVerdicts); n > 10 {
		t.Errorf("%d calls for verdicts", n)
	}
	remove()
	c.advance(13 * time.Hour)
	all := f.waitEvents(jobs + 2)
	for i := range jobs {
		all.onlyOf(t, fmt.Sprint("job-", i))
	}
}

// A rejected credential fails no file: uploads pause, and a single probe checks it again.
func TestARefusedCredentialPausesTheFleet(t *testing.T) {
	t.Parallel()
	c := &clock{}
	f := newFixture(t)
	remove := f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 401}})
	f.startWorker(worker.WithClock(c.now))
	f.startWorker(worker.WithClock(c.now))
	for i := range 20 {
		f.submitRaw(fmt.Sprint("job-", i), "mail", fmt.Sprintf("%d.exe", i), fmt.Sprint("MZ ", i))
	}
	f.waitStatus(func(st queue.Status) bool { return !st.Paused[pipeline.Uploads].Until.IsZero() })
	remove()
	before := f.wildfire.Count(wildfire.OpSubmitFile)
	c.advance(31 * time.Second)
	all := f.waitEvents(20)
	for i := range 20 {
		if ev := all.onlyOf(t, fmt.Sprint("job-", i)); ev.Type != results.Verdict || ev.Data.Attempts > 1 {
			t.Errorf("job %d: %s after %d attempts", i, ev.Type, ev.Data.Attempts)
		}
	}
	if before > 2*20 { // no job was retried, except for one repetition with a new token
		t.Errorf("%d uploads were refused before the pause", before)
	}
}

// Foreign values in the control bucket are overwritten.
func TestForeignValuesInTheControlBucketAreOverwritten(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now))
	f.cfg.UploadsPerDay, f.cfg.QueriesPerDay = 100, 100
	control, err := f.q.JetStream().KeyValue(t.Context(), f.q.ControlBucket())
	if err != nil {
		t.Fatal(err)
	}
	today := c.now().Format("2006-01-02")
	for _, key := range []string{"leader", "published", "pause.uploads", "pause.queries", "quota.uploads." + today, "quota.queries." + today, "worker.x"} {
		if _, err := control.PutString(t.Context(), key, "what is it"); err != nil {
			t.Fatal(err)
		}
	}
	f.publish(f.q.SampleSubject(sha256Hex("MZ x")), nats.Header{}, `{"state":7}`)
	f.startWorker(worker.WithClock(c.now))
	f.submitRaw("a", "mail", "x.exe", "MZ x")
	f.waitEvents(1).onlyOf(t, "a")
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 419}})
	f.submitRaw("b", "mail", "y.exe", "MZ y")
	st := f.waitStatus(func(st queue.Status) bool { return !st.Paused[pipeline.Uploads].Until.IsZero() })
	if len(st.Workers()) != 1 || st.Uploads.Used == 0 {
		t.Errorf("the status still has foreign values: %+v", st)
	}
}

// A file that WildFire rejects proves, like any other, that the credential works again.
func TestARefusedFileEndsAPause(t *testing.T) {
	t.Parallel()
	c := &clock{}
	f := newFixture(t)
	remove := f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 401}})
	f.startWorker(worker.WithClock(c.now))
	const jobs = 20
	for i := range jobs {
		f.submitRaw(fmt.Sprint("job-", i), "mail", "x.unsupported", fmt.Sprint("what is it ", i))
	}
	f.waitStatus(func(st queue.Status) bool { return !st.Paused[pipeline.Uploads].Until.IsZero() })
	remove()
	c.advance(31 * time.Second)
	all := f.waitEvents(jobs)
	for i := range jobs {
		if ev := all.onlyOf(t, fmt.Sprint("job-", i)); ev.Outcome() != "unsupported_type" {
			t.Errorf("job %d ended %s", i, ev.Outcome())
		}
	}
}

// A service that fails every call uses up no attempts.
func TestAFailingServicePausesUploads(t *testing.T) {
	t.Parallel()
	c := &clock{}
	f := newFixture(t)
	f.cfg.MaxAttempts = 4
	remove := f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 503}})
	f.startWorker(worker.WithClock(c.now))
	const jobs = 30
	for i := range jobs {
		f.submitRaw(fmt.Sprint("job-", i), "mail", fmt.Sprintf("%d.exe", i), fmt.Sprint("MZ ", i))
	}
	f.waitStatus(func(st queue.Status) bool { return !st.Paused[pipeline.Uploads].Until.IsZero() })
	remove()
	c.advance(31 * time.Second)
	all := f.waitEvents(jobs)
	for i := range jobs {
		if ev := all.onlyOf(t, fmt.Sprint("job-", i)); ev.Type != results.Verdict {
			t.Errorf("job %d failed: %v", i, ev.Data.Error)
		}
	}
}

// One query asks about many hashes, so queries cost far less than one for each file.
func TestQueriesAreBatched(t *testing.T) {
	t.Parallel()
	f := newFixture(t, wildfiretest.WithLatency(100*time.Millisecond))
	const jobs = 200
	for i := range jobs {
		body := fmt.Sprint("MZ ", i)
		sum := sha256.Sum256([]byte(body))
		f.wildfire.Know(wildfiretest.Known{SHA256: hex.EncodeToString(sum[:]), Verdict: wildfire.Benign})
		f.submitRaw(fmt.Sprint("job-", i), "mail", "x.exe", body)
	}
	f.startWorker()
	f.waitEvents(jobs)
	if n := f.wildfire.Count(wildfire.OpVerdicts); n > jobs/10 {
		t.Errorf("%d calls for %d files", n, jobs)
	}
}

// Budget that is returned after a refused upload serves jobs that are parked for lack of it.
func TestReturnedBudgetServesParkedJobs(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now))
	f.cfg.UploadsPerDay, f.cfg.ReservePercent = 1, 0
	f.wildfire.Inject(wildfiretest.Rule{
		Op:    wildfire.OpSubmitFile,
		Name:  "refused.exe",
		Fault: wildfiretest.Fault{Status: 418, Latency: 2 * time.Second},
	})
	f.startWorker(worker.WithClock(c.now))

	f.submitRaw("refused", "mail", "refused.exe", "MZ refused")
	f.waitStatus(func(queue.Status) bool {
		budget, err := fleet.BudgetStatusOf(t.Context(), f.q.Control(), pipeline.Uploads, 1, c.now())
		return err == nil && budget.Used == 1
	})
	f.submitRaw("good", "mail", "good.exe", "MZ good")
	f.waitStatus(func(st queue.Status) bool { return st.Parked.Jobs == 1 })

	if ev := f.waitEvents(2).onlyOf(t, "good"); ev.Type != results.Verdict {
		t.Errorf("%s %+v", ev.Type, ev.Data.Error)
	}
}

// WildFire counts the uploads that it accepts. Uploads that it refuses, or that never reach it,
// cost no budget.
func TestOnlyAcceptedUploadsAreCharged(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now))
	f.cfg.UploadsPerDay, f.cfg.ReservePercent = 3, 0
	f.startWorker(worker.WithClock(c.now))
	for i := range 6 {
		f.submitRaw(fmt.Sprint("bad-", i), "mail", "unsupported.xyz", fmt.Sprint("? ", i))
	}
	f.submitRaw("flaky", "mail", "flaky.exe", "MZ flaky")
	f.waitEvents(7)
	for i := range 2 {
		f.submitRaw(fmt.Sprint("good-", i), "mail", "good.exe", fmt.Sprint("MZ good ", i))
	}
	all := f.waitEvents(9)
	for _, id := range []string{"flaky", "good-0", "good-1"} {
		if ev := all.onlyOf(t, id); ev.Type != results.Verdict {
			t.Errorf("%s: %s %+v", id, ev.Type, ev.Data.Error)
		}
	}
}

// An upload that was spent before midnight and given back after it does not add to the new day's
// budget.
func TestARefundAfterMidnight(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := clockAtNoon()
	q := fleet.NewQuota(f.q.Control(), pipeline.Uploads, 2, 0, c.now)
	taken := c.now()
	take := func() error { return q.Take(t.Context(), "mail", pipeline.Normal) }
	if err := take(); err != nil {
		t.Fatal(err)
	}

	c.advance(24 * time.Hour)
	q.Refund(t.Context(), taken, "mail", pipeline.Normal)
	if err := errors.Join(take(), take()); err != nil {
		t.Fatal(err)
	}
	if err := take(); !errors.Is(err, fleet.ErrSpent) {
		t.Errorf("a third upload of 2: %v", err)
	}
}

// lostAnswer is a bucket that loses the answer to the next update: the client repeats the update,
// and the server refuses the repetition.
type lostAnswer struct {
	jetstream.KeyValue
	lose bool
}

func (b *lostAnswer) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if b.lose {
		b.lose = false
		_, _ = b.KeyValue.Update(ctx, key, value, revision)
	}

	return b.KeyValue.Update(ctx, key, value, revision)
}

// A process returns its reservation once, even if an answer is lost, and keeps it if the store does
// not answer at all.
func TestAReservationIsReturnedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	js, err := jetstream.New(f.q.Conn())
	if err != nil {
		t.Fatal(err)
	}
	bucket := &lostAnswer{KeyValue: f.q.Control().Bucket()}
	now := clockAtNoon().now
	q := fleet.NewQuota(fleet.NewStore(js, bucket), pipeline.Uploads, 1000, 0, now)
	const calls = 30 // more than one block of 20
	for range calls {
		if err := q.Take(t.Context(), "mail", pipeline.Normal); err != nil {
			t.Fatal(err)
		}
	}

	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	q.Release(stopped)
	bucket.lose = true
	q.Release(t.Context())

	st, err := fleet.BudgetStatusOf(t.Context(), f.q.Control(), pipeline.Uploads, 1000, now())
	if err != nil || st.Used != calls || st.By["mail"] != calls {
		t.Errorf("%d uploads are counted after %d calls, %v of them by source: %v", st.Used, calls, st.By, err)
	}
}

// Once the configured queries of the day are used up, jobs that need one are parked until the
// reset, on every worker. They do not fill the workers' windows.
func TestJobsParkWithoutQueries(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now))
	f.cfg.QueriesPerDay = 1000
	if err := fleet.Charge(t.Context(), f.q.Control(), pipeline.Queries, f.cfg.QueriesPerDay, c.now()); err != nil {
		t.Fatal(err)
	}
	f.startWorker(worker.WithClock(c.now))
	f.startWorker(worker.WithClock(c.now))
	for i := range 4 {
		f.submitRaw(fmt.Sprint("job-", i), "mail", fmt.Sprintf("%d.exe", i), fmt.Sprint("MZ ", i))
	}
	f.waitStatus(func(st queue.Status) bool { return st.Parked.Jobs == 4 && st.Queued.Jobs == 0 })
	if n := f.wildfire.Count(wildfire.OpVerdicts); n != 0 {
		t.Errorf("%d queries beyond the budget", n)
	}

	c.advance(13 * time.Hour)
	f.waitEvents(4)
}
