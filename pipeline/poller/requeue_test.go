package poller

import (
	"context"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"backburn/pipeline"
)

// Parked jobs are requeued no faster than they could be uploaded. The more jobs are parked, the
// less often each is checked, so that the total rate stays about the same. Jobs that wait for a
// verdict do not count.
func TestParkedJobsAreRequeuedAtTheFleetsRate(t *testing.T) {
	t.Parallel()
	for perSecond, want := range map[float64]rate.Limit{0: maxRequeueRate, 2: 4, 1000: maxRequeueRate} {
		if got := requeueRate(perSecond); got != want {
			t.Errorf("at %v uploads per second %v jobs are requeued, want %v", perSecond, got, want)
		}
	}
	for waiting, longest := range map[int]time.Duration{0: time.Second, 399: 100 * time.Second, 100_000: spentRetry} {
		b := &finisher{shared: &shared{list: newWaitlist()}, requeues: rate.NewLimiter(4, maxRequeueRate)}
		for i := range waiting {
			b.list.setAwaitsTurn(b.list.add(idOf(t, digest(i)), waitingJob{name: "mail.s"}, time.Time{}), true)
		}
		for i := range 10_000 {
			b.list.add(idOf(t, digest(-1-i)), waitingJob{name: "mail.s"}, time.Time{})
		}
		var sum, most time.Duration
		const times = 1000
		for range times {
			d := b.requeueDelay()
			sum, most = sum+d, max(most, d)
		}
		if most >= longest || sum/times < longest/4 {
			t.Errorf("%d parked: the next check is due after at most %s, and %s on average; want a spread over %s", waiting, most, sum/times, longest)
		}
	}
}

// If the upload budget cannot be read, the sample is checked again soon. If the budget is used up,
// the sample waits.
func TestASampleWhoseBudgetCannotBeRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.Uploads.SetLimit(1, 0)
	e := f.list.add(idOf(t, digest(1)), waitingJob{name: "mail.a", seq: 1, rank: 1}, time.Now())

	unreachable, cancel := context.WithCancel(t.Context())
	cancel()
	if check := f.finisher.requeueOne(unreachable, e); time.Until(check.due) > f.config().Lease {
		t.Errorf("the next check is in %s", time.Until(check.due))
	}

	if err := f.Uploads.Take(t.Context(), "mail", pipeline.Normal); err != nil {
		t.Fatal(err)
	}
	if check := f.finisher.requeueOne(t.Context(), e); time.Until(check.due) < f.config().Lease {
		t.Errorf("after the last upload, the next check is in %s", time.Until(check.due))
	}
}
