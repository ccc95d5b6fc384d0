package worker

import (
	"context"
	"sync"
	"time"
)

// leases tracks the deliveries that this worker holds. The lease of a delivery is the AckWait of
// its message; one ticker extends the leases of all deliveries. leases is safe for concurrent use.
type leases struct {
	mu   sync.Mutex
	held map[*delivery]struct{}
}

// take makes run extend the lease of a delivery until release is called.
func (l *leases) take(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[d] = struct{}{}
}

func (l *leases) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return len(l.held)
}

// run extends the leases until ctx ends: three times in each lease, it notifies the server that the
// deliveries are in progress.
func (l *leases) run(ctx context.Context, lease time.Duration) error {
	t := time.NewTicker(lease / 3)
	defer t.Stop()

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}

		l.mu.Lock()
		for d := range l.held {
			_ = d.msg.InProgress() // if this notification is lost, the next one replaces it
		}
		l.mu.Unlock()
	}
}

// release ends the lease of a delivery, and acks or naks its message. Everything about the job is
// durable before the ack. So a lost ack does no harm: when the job is redelivered, it is found to
// be done, waiting or parked, or it is refused once more. A requeued job that waits or is parked is
// decided once more.
func (l *leases) release(d *delivery, r result) error {
	l.mu.Lock()
	delete(l.held, d)
	l.mu.Unlock()

	if r.ack {
		return d.msg.Ack()
	}

	return d.msg.NakWithDelay(max(r.after, time.Millisecond))
}
