package pipeline_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backburn/internal/testkit/logbuf"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// The clock is set back by hours while jobs wait for verdicts. The jobs do not wait for those
// hours: WildFire is asked as if nothing had happened, even if it has no answer at first, and also
// by the next leader.
func TestAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	const jobs = 40
	const first = 10 * time.Minute // from an upload to the first query, and between queries
	for name, then := range map[string]func(f *clockFixture){
		"and each is decided":          func(*clockFixture) {},
		"and none is decided at first": func(f *clockFixture) { f.waitAskedAgain(); f.waitAskedAgain() },
		"and again":                    func(f *clockFixture) { f.waitAskedAgain(); f.setBack(); f.waitAskedAgain() },
		"and another leads": func(f *clockFixture) {
			f.stop()
			f.start()
			f.waitAskedAgain()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startPending(t, jobs, first)

			f.setBack()
			then(f)
			f.getVerdicts()
		})
	}
}

// The clock jumps forward by more than the deadline while jobs wait for verdicts, for example
// because the machine was suspended. The time that nobody could observe does not count: the jobs
// get their verdicts, even if WildFire has none at first. Observed time does count.
func TestAClockThatJumpsForward(t *testing.T) {
	t.Parallel()
	const jobs = 5
	const first = 10 * time.Minute
	f := startPending(t, jobs, first)

	f.clock.advance(2 * f.cfg.Deadline)
	f.waitAskedAgain()
	f.waitAskedAgain()
	f.getVerdicts()
}

// clockFixture is a fixture whose worker uses a clock that can be set back.
type clockFixture struct {
	*fixture

	clock *clock
	log   logbuf.Buffer
	times int // times the clock was set back
	jobs  int
	first time.Duration
	stop  func()
}

// startPending starts a worker with jobs that are pending at WildFire, which is asked about them at
// intervals of first.
func startPending(t *testing.T, jobs int, first time.Duration) *clockFixture {
	t.Helper()
	f := &clockFixture{clock: clockAtNoon(), fixture: newFixture(t, wildfiretest.WithDelay(24*time.Hour)), jobs: jobs, first: first}
	f.cfg.FirstPoll, f.cfg.MaxPoll = first, first
	f.start()
	for i := range jobs {
		f.submitRaw(fmt.Sprint("job-", i), "mail", "x.exe", pendingBody(i))
	}
	f.waitStatus(func(st queue.Status) bool { return st.Pending.Jobs == jobs })

	return f
}

// pendingBody returns the contents of a job of startPending.
func pendingBody(i int) string { return fmt.Sprint("MZ ", i) }

// getVerdicts lets WildFire judge the jobs, and waits until each has its verdict.
func (f *clockFixture) getVerdicts() {
	f.t.Helper()
	for i := range f.jobs {
		if !f.wildfire.SetVerdict("", sha256Hex(pendingBody(i)), wildfire.Malware) {
			f.t.Fatalf("WildFire has no %q", pendingBody(i))
		}
	}
	f.waitAskedAgain()
	all := f.waitEvents(f.jobs)
	for i := range f.jobs {
		if ev := all.onlyOf(f.t, fmt.Sprint("job-", i)); ev.Data.Verdict != wildfire.Malware.String() {
			f.t.Errorf("job-%d: %s %+v", i, ev.Outcome(), ev.Data.Error)
		}
	}
}

func (f *clockFixture) start() {
	f.stop = f.startWorker(worker.WithClock(f.clock.now), worker.WithTick(10*time.Millisecond), worker.WithLogger(zerolog.New(&f.log)))
}

// setBack sets the clock back by hours, and waits until the poller logs it.
func (f *clockFixture) setBack() {
	f.t.Helper()
	f.clock.advance(-3 * time.Hour)
	f.times++
	f.waitStatus(func(queue.Status) bool { return strings.Count(f.log.String(), "the clock was set") == f.times })
}

// waitAskedAgain advances the clock to the next question, and waits until WildFire was asked about
// every job. A job that was being processed at that moment waits for one more interval.
func (f *clockFixture) waitAskedAgain() {
	f.t.Helper()
	hashes := func() int {
		sum := 0
		for _, call := range f.wildfire.Calls() {
			if call.Op == wildfire.OpVerdicts {
				sum += call.Hashes
			}
		}

		return sum
	}
	before := hashes()
	const most = 6
	for range most {
		f.clock.advance(f.first)
		ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
		err := f.wildfire.Wait(ctx, func() bool { return hashes() >= before+f.jobs })
		cancel()
		if err == nil {
			return
		}
	}
	f.t.Fatalf("within %s WildFire was asked about %d of %d jobs", most*f.first, hashes()-before, f.jobs)
}

// waitFor waits for a request at the simulated WildFire.
func (f *fixture) waitFor(what string, done func() bool) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 2*time.Minute)
	defer cancel()
	if err := f.wildfire.Wait(ctx, done); err != nil {
		f.t.Fatalf("%s: %v", what, err)
	}
}

// The clock is set back while a fault pauses uploads. The pause does not become longer. A pause by
// a person, or for a spent budget, lasts until its stated time.
func TestAClockThatIsSetBackInAPause(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pause func(ctx context.Context, f *fixture, p *fleet.Pauses, now time.Time) error
		holds bool
	}{
		"a fault": {func(ctx context.Context, _ *fixture, p *fleet.Pauses, _ time.Time) error {
			return p.PauseAfterFault(ctx, pipeline.Uploads, "the service is failing")
		}, false},
		"a doubt": {func(ctx context.Context, _ *fixture, p *fleet.Pauses, _ time.Time) error {
			return p.PauseInDoubt(ctx, pipeline.Uploads, "refused")
		}, false},
		"a spent budget": {func(ctx context.Context, _ *fixture, p *fleet.Pauses, _ time.Time) error {
			_, err := p.PauseSpent(ctx, pipeline.Uploads)
			return err
		}, true},
		"a person": {func(ctx context.Context, f *fixture, p *fleet.Pauses, now time.Time) error {
			next, err := fleet.PauseManually(ctx, f.q.Control(), pipeline.Uploads, "ann", "", now, now.Add(time.Minute))
			f.waitPauseReason(p, pipeline.Uploads, next.Reason)
			return err
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := clockAtNoon()
			f := newFixture(t)
			p := f.followPauses(c.now)
			ctx := t.Context()
			if err := tc.pause(ctx, f, p, c.now()); err != nil {
				t.Fatal(err)
			}
			if _, on, _ := p.Active(pipeline.Uploads); !on {
				t.Fatal("uploads are not paused")
			}

			c.advance(-time.Hour)
			_, on, _ := p.Active(pipeline.Uploads)
			shown, err := fleet.PauseOf(ctx, f.q.Control(), pipeline.Uploads, c.now())
			if on != tc.holds || (shown.Reason != "") != tc.holds || err != nil {
				t.Errorf("an hour earlier, paused: %v, shown as %+v (%v), want paused: %v", on, shown, err, tc.holds)
			}

			// A later fault starts a pause that takes effect.
			if err := p.PauseAfterFault(ctx, pipeline.Uploads, "sick again"); err != nil {
				t.Fatal(err)
			}
			if _, on, _ := p.Active(pipeline.Uploads); !on {
				t.Error("a later fault does not pause uploads")
			}
		})
	}
}

// waitPauseReason waits until the fleet's pause of a budget has the given reason.
func (f *fixture) waitPauseReason(p *fleet.Pauses, b pipeline.Budget, reason string) {
	f.t.Helper()
	for {
		now, _, changed := p.Active(b)
		if now.Reason == reason {
			return
		}
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			f.t.Fatalf("the pause is %+v", now)
		}
	}
}
