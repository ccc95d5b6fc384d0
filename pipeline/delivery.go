package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// delivery is a job in a worker's hand: its envelope, and the message to settle.
type delivery struct {
	envelope
	msg jetstream.Msg
	bad error // why it is no job; nil for a good one

	outcome string // of its final event, once it has one
}

// hand is what a worker holds. One ticker keeps every delivery in it from being given to
// somebody else.
type hand struct {
	mu   sync.Mutex
	held map[*delivery]struct{}
}

func newHand() *hand { return &hand{held: map[*delivery]struct{}{}} }

func (h *hand) take(d *delivery) {
	h.mu.Lock()
	h.held[d] = struct{}{}
	h.mu.Unlock()
}

func (h *hand) drop(d *delivery) {
	h.mu.Lock()
	delete(h.held, d)
	h.mu.Unlock()
}

func (h *hand) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.held)
}

// run tells the server, a third of the lease apart, that the deliveries are in progress.
func (h *hand) run(ctx context.Context, lease time.Duration) error {
	t := time.NewTicker(lease / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		h.mu.Lock()
		for d := range h.held {
			_ = d.msg.InProgress() // lost ones are made up for by the next
		}
		h.mu.Unlock()
	}
}

// settleTime bounds the settling of one message. It outlives the worker's contexts.
const settleTime = 10 * time.Second

// ack gives a delivery up for good. Without an answer it comes again, which is harmless.
func (h *hand) ack(d *delivery) error {
	h.drop(d)
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	return d.msg.DoubleAck(ctx)
}

// giveBack hands a delivery back, to come again after a delay.
func (h *hand) giveBack(d *delivery, after time.Duration) error {
	h.drop(d)
	return d.msg.NakWithDelay(max(after, time.Millisecond))
}
