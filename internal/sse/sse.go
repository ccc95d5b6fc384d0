// Package sse writes server-sent events (HTML standard, section 9.2). A stream ends when its client
// disconnects or stops reading, and when the server stops.
package sse

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"backburn/internal/httpserver"
)

const (
	// A client that does not read for this long is disconnected; it reconnects by itself.
	writeTimeout = 30 * time.Second

	// Comments keep a stream alive through proxies, and detect clients that are gone.
	pingInterval = 15 * time.Second

	// A disconnected client reconnects after this time.
	retry = 2 * time.Second
)

// ErrGone is matched by errors about a client that no longer reads its stream.
var ErrGone = errors.New("the client does not read its events")

// Places limits the number of concurrent streams. It is safe for concurrent use.
type Places chan struct{}

// NewPlaces allows n concurrent streams.
func NewPlaces(n int) Places { return make(Places, n) }

// Take reserves a place until release is called. It returns false if none is free.
func (p Places) Take() (release func(), ok bool) {
	select {
	case p <- struct{}{}:
		return func() { <-p }, true
	default:
		return func() {}, false
	}
}

// RetryAfter returns the Retry-After header for clients that found no free place.
func RetryAfter() string { return strconv.Itoa(int(retry.Seconds())) }

// Event is one event. ID and Type may be empty; Data must be a single line, such as JSON.
type Event struct {
	ID   string
	Type string
	Data []byte
}

// Stream is the response to one client. It is safe for concurrent use.
type Stream struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
}

// Serve responds with what feed sends, until feed returns. feed's context ends with the request,
// and when the server stops. Serve returns feed's error, or nil if the stream ended because the
// client stopped reading or the server stopped. For a HEAD request it sends only the header.
func Serve(w http.ResponseWriter, r *http.Request, feed func(ctx context.Context, out *Stream) error) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx then does not buffer the stream
	if r.Method == http.MethodHead {
		return nil
	}

	ctx, cancel := httpserver.UntilStop(r)
	defer cancel()
	s := &Stream{w: w, control: http.NewResponseController(w)}
	// Remove the deadlines of ordinary requests. Recorders in tests have none.
	_ = s.control.SetReadDeadline(time.Time{})
	if s.send("retry: "+strconv.FormatInt(retry.Milliseconds(), 10)+"\n\n") != nil {
		return nil
	}
	pings := make(chan struct{})
	go func() { defer close(pings); s.ping(ctx, cancel) }()
	defer func() { cancel(); <-pings }()

	err := feed(ctx, s)
	if ctx.Err() != nil || errors.Is(err, ErrGone) {
		return nil
	}

	return err
}

// Send sends one event. Its error matches ErrGone.
func (s *Stream) Send(e Event) error {
	var b strings.Builder
	if e.ID != "" {
		b.WriteString("id: " + e.ID + "\n")
	}
	if e.Type != "" {
		b.WriteString("event: " + e.Type + "\n")
	}
	b.WriteString("data: ")
	b.Write(e.Data)
	b.WriteString("\n\n")

	return s.send(b.String())
}

func (s *Stream) send(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Each write sets its own deadline. It must not expire between writes: that would end the
	// stream of an HTTP/2 connection.
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.w.Write([]byte(text))
	if err == nil {
		err = s.control.Flush()
	}
	_ = s.control.SetWriteDeadline(time.Time{})
	if err != nil {
		return errors.Join(ErrGone, err)
	}

	return nil
}

// ping sends comments until ctx ends. If the client does not read them, it ends the stream.
func (s *Stream) ping(ctx context.Context, cancel func()) {
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
