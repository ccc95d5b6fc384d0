package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
)

// Replay delivers events again, whether or not the sink is running. Deliveries have the same IDs as
// before.
type Replay struct {
	Config Config
	Target Target // owned by the caller; not used in a dry run
	DryRun bool
	Each   func(Replayed) error // called with each result; an error ends the replay
}

// Replayed is the result for one event.
type Replayed struct {
	Source string `json:"source"` // of the CloudEvent
	ID     string `json:"id"`     // of the CloudEvent
	Done   bool   `json:"done"`   // whether the receiver accepted the event; false in a dry run
	Error  string `json:"error,omitempty"`
}

// ErrNoDeadFile means that the sink has no dead-letter file.
var ErrNoDeadFile = errors.New("this sink has no dead_file")

// DeliverDeadLetters delivers the dead letters whose events are not older than since. It removes
// the accepted ones, and keeps those that are rejected again. If the receiver is unavailable or
// misconfigured, the replay ends and the remaining letters stay.
func (r Replay) DeliverDeadLetters(ctx context.Context, since time.Time) error {
	d, err := openDeadFile(r.Config.DeadFile)
	if err != nil {
		return fmt.Errorf("dead_file: %w", err)
	}
	if d == nil {
		return ErrNoDeadFile
	}
	wanted := func(l deadLetter) bool {
		var ce struct{ Time time.Time }
		return json.Unmarshal(l.Event, &ce) == nil && !ce.Time.Before(since)
	}
	if r.DryRun {
		return d.list(func(l deadLetter) error {
			if !wanted(l) {
				return nil
			}
			return r.Each(resultOf(l.Event))
		})
	}

	return d.process(ctx, func(l deadLetter) (keep bool, err error) {
		if !wanted(l) {
			return true, nil
		}
		result, err := r.attempt(ctx, l.Event)
		return !result.Done, errors.Join(err, r.Each(result))
	})
}

// DeliverStream delivers the events that the stream stored between two times and that match the
// sink's filter. It reports and skips events that the receiver rejects or fails on, and messages
// that the sink itself would skip. If the receiver is unavailable or misconfigured, the replay
// ends.
func (r Replay) DeliverStream(ctx context.Context, js jetstream.JetStream, since, until time.Time) error {
	sub := results.NewSubscriber(js, results.SubscriberConfig{
		Prefix: r.Config.Prefix,
		Filter: r.Config.filter(),
		Since:  since,
	})

	return sub.DrainRaw(ctx, func(ctx context.Context, d results.Delivery) error {
		if d.Stored.After(until) {
			return results.ErrStop
		}
		if r.DryRun {
			return r.Each(resultOf(d.Body))
		}
		result, err := r.attempt(ctx, d.Body)
		return errors.Join(err, r.Each(result))
	})
}

// resultOf returns a result with the event's source and ID.
func resultOf(body []byte) Replayed {
	var ce Replayed
	_ = json.Unmarshal(body, &ce) // a message that is not an event has no ID
	return Replayed{Source: ce.Source, ID: ce.ID}
}

// attempt makes one attempt to deliver an event. An error ends the replay; a rejected event is no
// error.
func (r Replay) attempt(ctx context.Context, body []byte) (Replayed, error) {
	result := resultOf(body)
	m, err := newMessage(body, r.Config.Format, r.Config.Version)
	if err != nil { // the sink skips it, too
		result.Error = err.Error()
		return result, nil
	}

	tctx, cancel := context.WithTimeout(ctx, r.Config.Timeout)
	defer cancel()
	err = r.Target.Send(tctx, m)
	if err == nil {
		result.Done = true
		return result, nil
	}
	result.Error = err.Error()
	if f := asFault(err); f.Kind == Unavailable || f.Kind == Misconfigured {
		return result, err
	}

	return result, ctx.Err()
}
