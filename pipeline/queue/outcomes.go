package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"backburn/internal/backoff"
	"backburn/internal/jets"
	"backburn/pipeline"
	"backburn/results"
)

// Outcomes delivers final events to the process that submitted the files. The server remembers
// under the reader's name which events were delivered.
type Outcomes struct {
	streams *Streams
	reader  string
}

// Outcomes returns a reader of final events. Readers with the same name share the events of a
// source if they also follow them for the same folder; otherwise each sees all. The name must stay
// the same over restarts. The server forgets a name that was not used for as long as results are
// kept.
func (e *Events) Outcomes(reader string) *Outcomes {
	return &Outcomes{streams: e.streams, reader: pipeline.JobKey(reader)}
}

// outcomesBatch is how many events one request fetches. A request stays open for fetchWait.
const (
	outcomesBatch = 256
	fetchWait     = time.Second
)

// Follow passes the final events of a source to handle, each at least once, until ctx ends. It
// resumes where the reader stopped for the folder with this ID. An event is done when handle
// returns nil; after an error it is redelivered. handle is called by many goroutines at once.
func (o *Outcomes) Follow(ctx context.Context, source, folder string, handle func(context.Context, results.Event) error) error {
	for failures := 0; ; failures++ {
		err := o.follow(ctx, source, folder, handle, func() { failures = 0 })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if serr := pipeline.Sleep(ctx, backoff.Delay(failures, 200*time.Millisecond, 5*time.Second)); serr != nil {
			return fmt.Errorf("follow events of %s: %w", source, jets.GaveUp(serr, err))
		}
	}
}

func (o *Outcomes) follow(ctx context.Context, source, folder string, handle func(context.Context, results.Event) error, received func()) error {
	c, err := o.streams.results.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable:     "outcomes-" + source + "-" + o.reader + "-" + pipeline.JobKey(folder),
		Description: "final events of a folder's files, for its watcher",
		FilterSubjects: []string{
			o.streams.ResultsSubject("verdict", "*", source),
			o.streams.ResultsSubject("failed", "*", source),
		},
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxDeliver: -1,
		MaxAckPending: 4 * outcomesBatch, InactiveThreshold: o.streams.topology.Results.MaxAge,
	})
	if err != nil {
		return err
	}

	var delivering errgroup.Group
	delivering.SetLimit(outcomesBatch)
	defer func() { _ = delivering.Wait() }()
	for ctx.Err() == nil {
		batch, err := c.Fetch(outcomesBatch, jetstream.FetchMaxWait(fetchWait))
		if err != nil {
			return err
		}
		for m := range batch.Messages() {
			received()
			delivering.Go(func() error {
				o.deliver(ctx, m, handle)
				return nil
			})
		}
		if err := batch.Error(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// deliver delivers one event. It does not wait until the server has received the acknowledgment,
// because a repeated event is harmless.
func (o *Outcomes) deliver(ctx context.Context, m jetstream.Msg, handle func(context.Context, results.Event) error) {
	var ev results.Event
	if err := ev.UnmarshalJSON(m.Data()); err != nil {
		_ = m.TermWithReason("not an event of this version")
		return
	}
	if handle(ctx, ev) != nil {
		_ = m.NakWithDelay(5 * time.Second)
		return
	}
	_ = m.Ack()
}
