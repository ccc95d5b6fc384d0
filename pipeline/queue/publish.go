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
	"backburn/results"
)

// publishUntilAnswered sends messages through a committer until each has an answer.
func (q *Queue) publishUntilAnswered(ctx context.Context, c *committer, msgs []*nats.Msg, durable func(i int, m *message)) error {
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
				durable(left[k], o)
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
			q.recreateStreams(ctx, err)
		}
	}
}

// recreateStreams creates missing streams again, if this process has the permission.
func (q *Queue) recreateStreams(ctx context.Context, err error) {
	if !isGone(err) {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, provisionAttempt)
	defer cancel()
	_ = q.Provision(ctx) // the next attempt shows the result
}

// messageID is the ID of an event on its stream. It includes the source, because two sources may
// use the same job ID.
func messageID(ev results.Event) string { return ev.Data.Source + "." + ev.ID() }
