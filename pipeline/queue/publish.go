package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/internal/backoff"
	"backburn/internal/jets"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
)

// publish sends messages until each has an answer, and passes those that are durable to durable,
// if that is not nil.
func (c *committer) publish(ctx context.Context, durable func(i int, m *message), msgs ...*nats.Msg) error {
	left := make([]int, len(msgs))
	for i := range left {
		left[i] = i
	}

	for attempt := 0; ; attempt++ {
		sent := make([]*nats.Msg, len(left))
		for k, i := range left {
			sent[k] = msgs[i]
		}

		outcomes, err := c.commit(ctx, sent...)
		var again []int
		for k, o := range outcomes {
			switch {
			case o.err == nil:
				if durable != nil {
					durable(left[k], o)
				}
			case jets.Is(o.err, jets.Conflict):
				return fmt.Errorf("%w: %s", pipeline.ErrConflict, o.msg.Subject)
			default:
				if perr := permanent(o.err); perr != nil {
					return fmt.Errorf("publish to %s: %w", o.msg.Subject, perr)
				}
				again = append(again, left[k])
				err = o.err
			}
		}

		switch {
		case err == nil:
			return nil
		case outcomes == nil && ctx.Err() == nil: // no subscription
			return err
		case outcomes != nil:
			left = again
		}
		if serr := fleet.Sleep(ctx, backoff.Delay(attempt, 50*time.Millisecond, 2*time.Second)); serr != nil {
			return fmt.Errorf("publish to %s: %w (%w)", msgs[0].Subject, serr, err)
		}
		if attempt > 0 { // a server that is shutting down answers this as well
			c.recreate(ctx, err)
		}
	}
}
