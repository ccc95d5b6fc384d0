package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"backburn/internal/sse"
	"backburn/results"
)

// reconnectOverlap is how far a stream goes back when a client reconnects. The ID of a server-sent
// event is the time at which NATS stored the event; clients may have IDs of earlier versions, which
// used the event's own time.
const reconnectOverlap = time.Minute

// events streams the events of the source. Consumers that remember the IDs of the CloudEvents see
// each event once.
func (s *service) events(w http.ResponseWriter, r *http.Request) {
	since := time.Now()
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		at, err := time.Parse(time.RFC3339Nano, last)
		if err != nil {
			writeProblem(w, http.StatusBadRequest, "invalid-request", "Last-Event-ID: expected the ID of an event of this stream")
			return
		}

		since = at.Add(-reconnectOverlap)
	}

	release, ok := s.streams.Take()
	if !ok {
		w.Header().Set("Retry-After", sse.RetryAfter())
		writeProblem(w, http.StatusServiceUnavailable, "busy", fmt.Sprintf("%d event streams are already open", maxStreams))

		return
	}
	defer release()

	source := clientOf(r).Source
	cfg := results.SubscriberConfig{
		Prefix: s.deps.Queue.Prefix(),
		Since:  since,
		Filter: results.Filter{Sources: []string{source}},
	}
	if err := s.checkReadable(r.Context(), cfg); err != nil {
		s.writeUnavailable(w, err)
		return
	}

	err := sse.Serve(w, r, func(ctx context.Context, out *sse.Stream) error {
		return results.NewSubscriber(s.deps.Queue.JetStream(), cfg).RunRaw(ctx, func(_ context.Context, d results.Delivery) error {
			e, err := d.Event()
			if err != nil {
				return nil //nolint:nilerr // the event is of a later version
			}

			b, err := json.Marshal(e)
			if err != nil {
				return err
			}

			return out.Send(sse.Event{ID: d.Stored.UTC().Format(time.RFC3339Nano), Type: e.Type.Name(), Data: b})
		})
	})
	if err != nil {
		s.deps.Log.Error().Err(err).Str("source", source).Msg("event stream ended")
	}
}

// checkReadable reports whether the events can be read. It is checked first, because an error
// cannot change the status of a response that has begun.
func (s *service) checkReadable(ctx context.Context, cfg results.SubscriberConfig) error {
	if err := s.deps.Ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, natsTimeout)
	defer cancel()

	return results.NewSubscriber(s.deps.Queue.JetStream(), cfg).Drain(ctx, func(context.Context, results.Event) error { return results.ErrStop })
}
