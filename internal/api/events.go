package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"backburn/results"
)

// overlap is how much is told again after a reconnection: the id of a server-sent event is the
// time at which the event became known, and it was published a little later.
const overlap = time.Minute

// events streams what becomes known. Consumers that remember the ids of the CloudEvents see
// each once.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	since := time.Now()
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		at, err := time.Parse(time.RFC3339Nano, last)
		if err != nil {
			problem(w, http.StatusBadRequest, "invalid-request", "Last-Event-ID: the id of an event of this stream")
			return
		}
		since = at.Add(-overlap)
	}
	if s.readers.Add(1) > streams {
		s.readers.Add(-1)
		w.Header().Set("Retry-After", "10")
		problem(w, http.StatusServiceUnavailable, "busy", fmt.Sprintf("%d streams of events are open already", streams))
		return
	}
	defer s.readers.Add(-1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()

	out := &stream{w: w, c: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if out.send(": events of "+s.cfg.Source+"\n\n") != nil {
		return
	}
	pings := make(chan struct{})
	go func() { defer close(pings); out.ping(ctx, cancel) }()
	defer func() { cancel(); <-pings }()
	err := s.cfg.Follow(ctx, since, func(_ context.Context, e results.Event) error {
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		return out.send("id: " + e.Time.UTC().Format(time.RFC3339Nano) + "\nevent: " + e.Type.Name() + "\ndata: " + string(b) + "\n\n")
	})
	var gone *goneError
	if err != nil && ctx.Err() == nil && !errors.As(err, &gone) {
		s.cfg.Log.Error().Err(err).Msg("a stream of events ended")
	}
}

// stream is a response that two write to.
type stream struct {
	mu sync.Mutex
	w  http.ResponseWriter
	c  *http.ResponseController
}

// goneError says that the reader is gone.
type goneError struct{ err error }

func (e *goneError) Error() string { return "the reader is gone: " + e.err.Error() }
func (e *goneError) Unwrap() error { return e.err }

func (s *stream) send(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.c.SetWriteDeadline(time.Now().Add(stallTimeout)) // a test's recorder has none
	if _, err := s.w.Write([]byte(text)); err != nil {
		return &goneError{err}
	}
	if err := s.c.Flush(); err != nil {
		return &goneError{err}
	}
	return nil
}

// ping keeps the connection alive through proxies, and finds out that nobody listens.
func (s *stream) ping(ctx context.Context, cancel func()) {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if s.send(": still here\n\n") != nil {
				cancel()
				return
			}
		}
	}
}
