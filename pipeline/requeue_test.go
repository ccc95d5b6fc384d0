package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"
)

// Parked jobs come back no faster than they could be uploaded, and while many wait each is looked
// at rarely: the looks of all of them together keep to about the same pace. What waits for a
// verdict does not count.
func TestParkedJobsComeBackAtTheFleetsPace(t *testing.T) {
	t.Parallel()
	for perSecond, want := range map[float64]rate.Limit{0: requeuePace, 2: 4, 1000: requeuePace} {
		if got := requeues(perSecond); got != want {
			t.Errorf("at %v uploads a second %v jobs come back, want %v", perSecond, got, want)
		}
	}
	for waiting, longest := range map[int]time.Duration{0: time.Second, 399: 100 * time.Second, 100_000: spentPatience} {
		b := &batcher{list: newWaitlist(), requeues: rate.NewLimiter(4, requeuePace)}
		for i := range waiting {
			b.list.queue(b.list.add(fmt.Sprint(i), waitingJob{subject: "s"}, time.Time{}), true)
		}
		for i := range 10_000 {
			b.list.add(fmt.Sprint("pending", i), waitingJob{subject: "s"}, time.Time{})
		}
		var sum, most time.Duration
		const times = 1000
		for range times {
			d := b.turn()
			sum, most = sum+d, max(most, d)
		}
		if most >= longest || sum/times < longest/4 {
			t.Errorf("%d wait: the next turn is %s away at most and %s on average, want spread over %s", waiting, most, sum/times, longest)
		}
	}
}

// unreadable is WAITING on a server that does not answer.
type unreadable struct{ jetstream.Stream }

func (unreadable) GetMsg(context.Context, uint64, ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	return nil, nats.ErrTimeout
}

// A job that can't be read just now goes on waiting: nobody else would ever ask for it.
func TestAWaitingJobThatCantBeReadIsNotForgotten(t *testing.T) {
	t.Parallel()
	b := &batcher{q: &Queue{waiting: unreadable{}}, list: newWaitlist()}
	job := waitingJob{subject: "subject", seq: 7, lane: Normal}
	e := b.list.add("sample", job, time.Time{})
	if err := b.requeue(t.Context(), e, job); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("%v, want %v", err, nats.ErrTimeout)
	}
	if b.list.jobs != 1 || e.jobs.len() != 1 {
		t.Errorf("%d jobs wait, want 1", b.list.jobs)
	}
}
