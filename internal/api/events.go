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

// overlap is how much is told again after a reconnection: the id of a server-sent event is the
// time at which the event became known, and it was published a little later.
const overlap = time.Minute

// events streams what becomes known. Consumers that remember the ids of the CloudEvents see
// each once.
func (s *service) events(w http.ResponseWriter, r *http.Request) {
	since := time.Now()
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		at, err := time.Parse(time.RFC3339Nano, last)
		if err != nil {
			problem(w, http.StatusBadRequest, "invalid-request", "Last-Event-ID: the id of an event of this stream")
			return
		}
		since = at.Add(-overlap)
	}
	release, ok := s.streams.Take()
	if !ok {
		w.Header().Set("Retry-After", sse.RetryAfter())
		problem(w, http.StatusServiceUnavailable, "busy", fmt.Sprintf("%d streams of events are open already", streams))
		return
	}
	defer release()

	source := holderOf(r).Source
	cfg := results.SubscriberConfig{
		Prefix: s.use.Queue.Prefix(),
		Since:  since,
		Filter: results.Filter{Sources: []string{source}},
	}
	if err := s.readable(r.Context(), cfg); err != nil {
		s.unavailable(w, err)
		return
	}
	err := sse.Serve(w, r, func(ctx context.Context, out *sse.Stream) error {
		return results.NewSubscriber(s.use.Queue.JetStream(), cfg).Run(ctx, func(_ context.Context, e results.Event) error {
			b, err := json.Marshal(e)
			if err != nil {
				return err
			}
			return out.Send(sse.Event{ID: e.Time.UTC().Format(time.RFC3339Nano), Type: e.Type.Name(), Data: b})
		})
	})
	if err != nil {
		s.use.Log.Error().Err(err).Str("source", source).Msg("a stream of events ended")
	}
}

// readable reports whether the events can be read: once a response has begun, there is no status
// that could say so.
func (s *service) readable(ctx context.Context, cfg results.SubscriberConfig) error {
	if err := s.use.Ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()

	return results.NewSubscriber(s.use.Queue.JetStream(), cfg).Drain(ctx, func(context.Context, results.Event) error { return results.ErrStop })
}
