package worker

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// delivery is a job that this worker holds, and the message to acknowledge.
type delivery struct {
	queue.Message
	msg     jetstream.Msg
	invalid error // why it is not a valid job; nil for a valid one

	sample   queue.SampleEntry // as it was last read
	entry    queue.JobEntry    // the job's record, as it was last read
	contents queue.Contents
	head     headBuffer      // of the contents
	ruling   pipeline.Ruling // the policy's ruling on what may leave

	outcome string // type of its final event, once it has one
}

// leases tracks the deliveries that this worker holds, and extends their AckWait on one ticker. It
// is safe for concurrent use.
type leases struct {
	mu   sync.Mutex
	held map[*delivery]struct{}
}

func newLeases() *leases { return &leases{held: map[*delivery]struct{}{}} }

func (l *leases) take(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[d] = struct{}{}
}

func (l *leases) drop(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, d)
}

func (l *leases) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return len(l.held)
}

// run reports the deliveries as in progress to the server every third of the lease.
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

// ack acknowledges a delivery. By then everything about the job is in the ledger. If the
// acknowledgment is lost, the job is redelivered and found there.
func (l *leases) ack(d *delivery) error {
	l.drop(d)

	return d.msg.Ack()
}

// nak returns a delivery to the server, to be redelivered after a delay.
func (l *leases) nak(d *delivery, after time.Duration) error {
	l.drop(d)

	return d.msg.NakWithDelay(max(after, time.Millisecond))
}
