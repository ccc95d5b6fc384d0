package worker

import (
	"context"
	"sync"
	"time"
)

// leases tracks the deliveries that this worker holds, and extends their AckWait on one ticker. It
// is safe for concurrent use.
type leases struct {
	mu   sync.Mutex
	held map[*delivery]struct{}
}

func newLeases() *leases { return &leases{held: map[*delivery]struct{}{}} }

// take extends the lease of a delivery until release.
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

// run notifies the server, three times in each lease, that the deliveries are in progress.
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
			_ = d.msg.InProgress() // the next report replaces a lost one
		}
		l.mu.Unlock()
	}
}

// release ends the lease of a delivery, and acks or naks its message. Before an ack everything
// about the job is in the ledger, so that if the ack is lost, the job is redelivered and found
// there.
func (l *leases) release(d *delivery, r result) error {
	l.mu.Lock()
	delete(l.held, d)
	l.mu.Unlock()

	if r.ack {
		return d.msg.Ack()
	}

	return d.msg.NakWithDelay(max(r.after, time.Millisecond))
}
