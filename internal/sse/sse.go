// Package sse writes server-sent events (the HTML standard, section 9.2), once for everybody who
// does. A stream ends with its client, with a client that takes nothing more, and with the server.
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
	// A client that takes nothing for so long is sent away; it comes again by itself.
	writeTimeout = 30 * time.Second

	// Comments keep a stream alive through proxies, and find out that nobody listens.
	pingInterval = 15 * time.Second

	// A client that was cut off, or sent away, comes again after so long.
	retry = 2 * time.Second
)

// ErrGone is matched by errors of a client that does not read its stream any more.
var ErrGone = errors.New("the client takes nothing")

// Places are how many may listen at a time. It is safe for concurrent use.
type Places chan struct{}

// NewPlaces makes n places.
func NewPlaces(n int) Places { return make(Places, n) }

// Take takes a place, which release gives back, and reports whether one was free.
func (p Places) Take() (release func(), ok bool) {
	select {
	case p <- struct{}{}:
		return func() { <-p }, true
	default:
		return func() {}, false
	}
}

// RetryAfter is the value of the header Retry-After for whoever found no place.
func RetryAfter() string { return strconv.Itoa(int(retry.Seconds())) }

// Event is one event. ID and Type may be empty; Data is one line, as JSON is.
type Event struct {
	ID   string
	Type string
	Data []byte
}

// Stream is the answer to one client. It is safe for concurrent use.
type Stream struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
}

// Serve answers with what feed sends, until feed returns; its context ends with the request and
// when the server stops. It returns the error of feed, or nil where the stream ended because
// nobody reads it or the server stops. A HEAD request gets the header alone.
func Serve(w http.ResponseWriter, r *http.Request, feed func(ctx context.Context, out *Stream) error) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx passes on what it gets, as it gets it
	if r.Method == http.MethodHead {
		return nil
	}

	ctx, cancel := httpserver.UntilStop(r)
	defer cancel()
	s := &Stream{w: w, control: http.NewResponseController(w)}
	// The deadlines are those of requests that end. Writers of tests have none.
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

// Send sends an event. Its error matches ErrGone.
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
	// Every write has a deadline of its own, which must not pass in between: that would end the
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

// ping sends comments until ctx ends. It ends the stream of a client that does not take them.
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
