package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/sse"
	"backburn/results"
)

const (
	// backlog is how many events a client gets from before it came.
	backlog = 50

	// lookBack is how many messages of the stream are looked through for them. Events of
	// uploads lie between them, one for each final event at most.
	lookBack = 4 * backlog

	// defaultClients is how many may listen at a time.
	defaultClients = 16

	// How long JetStream may take to say what there is.
	askTimeout = 5 * time.Second
)

// Queue is where the events are; a *queue.Queue is one.
type Queue interface {
	JetStream() jetstream.JetStream
	Prefix() string        // nats.prefix
	ResultsStream() string // the stream of the events
}

// Events serves what became known about jobs as server-sent events (the HTML standard,
// section 9.2): the last 50 final events, the oldest first, then an event of type "live", then
// each as it is published. A client may get an event again, under the same id, after it lost the connection.
//
// Each client has a reader of the stream of its own, which works in the goroutine of its
// request and waits for it: a slow client holds up nobody else, nothing is kept for it
// in memory, and nothing is left behind when it goes.
type Events struct {
	queue  Queue
	log    zerolog.Logger
	places sse.Places
}

// NewEvents makes the handler. clients is how many may listen at a time, 0 for 16.
func NewEvents(q Queue, clients int, log zerolog.Logger) *Events {
	if clients <= 0 {
		clients = defaultClients
	}
	return &Events{queue: q, log: log, places: sse.NewPlaces(clients)}
}

// ServeHTTP streams until the request ends, the server stops, or the client takes nothing more.
func (e *Events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	release, ok := e.places.Take()
	if !ok {
		refuse(w, "as many listen already as may")
		return
	}
	defer release()
	from, until, err := e.begin(r.Context())
	if err != nil {
		refuse(w, "the events can't be read just now")
		e.log.Warn().Err(err).Msg("cannot read events for a browser")
		return
	}
	err = sse.Serve(w, r, func(ctx context.Context, out *sse.Stream) error { return e.follow(ctx, from, until, out) })
	if err != nil {
		e.log.Warn().Err(err).Msg("events for a browser ended")
	}
}

func refuse(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", sse.RetryAfter())
	http.Error(w, why, http.StatusServiceUnavailable)
}

// begin returns when the message was published that is lookBack before the last one, and when
// the last one was.
func (e *Events) begin(ctx context.Context) (from, until time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := e.queue.JetStream().Stream(ctx, e.queue.ResultsStream())
	if err != nil {
		return from, until, err
	}
	state := s.CachedInfo().State
	if state.Msgs == 0 {
		return time.Now(), time.Now(), nil
	}
	first := state.FirstSeq
	if state.LastSeq >= lookBack {
		first = max(first, state.LastSeq-lookBack+1)
	}
	// The message may be gone meanwhile, or have been removed by hand; then the next one is meant.
	m, err := s.GetMsg(ctx, first, jetstream.WithGetMsgSubject(e.queue.Prefix()+".results.>"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return state.LastTime, state.LastTime, nil
	}
	if err != nil {
		return from, until, err
	}
	return m.Time, state.LastTime, nil
}

// follow sends the backlog, then what comes. The two are read one after the other and overlap;
// what was in the first is left out of the second.
func (e *Events) follow(ctx context.Context, from, until time.Time, out *sse.Stream) error {
	cfg := results.SubscriberConfig{
		Prefix: e.queue.Prefix(), Since: from,
		Filter: results.Filter{Types: []results.Type{results.Verdict, results.Failed, results.Changed}},
	}
	var old []results.Event
	seen := map[string]bool{}
	err := results.NewSubscriber(e.queue.JetStream(), cfg).Drain(ctx, func(_ context.Context, ev results.Event) error {
		old, seen[ev.ID()] = append(old, ev), true
		return nil
	})
	if err != nil {
		return err
	}
	for _, ev := range old[max(0, len(old)-backlog):] {
		if err := send(out, ev); err != nil {
			return err
		}
	}
	if err := out.Send(sse.Event{Type: "live", Data: []byte("{}")}); err != nil {
		return err
	}
	cfg.Since = until
	return results.NewSubscriber(e.queue.JetStream(), cfg).Run(ctx, func(_ context.Context, ev results.Event) error {
		if seen[ev.ID()] {
			delete(seen, ev.ID())
			return nil
		}
		return send(out, ev)
	})
}

// send sends one event. JSON has no line breaks of its own, so it is one line of data.
func send(out *sse.Stream, ev results.Event) error {
	data, err := json.Marshal(lineOf(ev))
	if err != nil {
		return fmt.Errorf("encode %s: %w", ev.ID(), err)
	}

	return out.Send(sse.Event{Data: data})
}

// line is what the page shows of an event. Metadata is not part of it: it may name people.
type line struct {
	ID       string        `json:"id"`
	Time     time.Time     `json:"time"`
	Event    string        `json:"event"`   // verdict, failed, changed
	Outcome  string        `json:"outcome"` // the verdict, or the reason
	Job      string        `json:"job"`
	Source   string        `json:"source"`
	Filename string        `json:"filename,omitempty"`
	Path     string        `json:"path,omitempty"`
	URL      string        `json:"url,omitempty"`
	SHA256   string        `json:"sha256,omitempty"`
	Size     int64         `json:"size"` // bytes
	Filetype string        `json:"filetype,omitempty"`
	Basis    results.Basis `json:"basis,omitempty"`
	Message  string        `json:"message,omitempty"` // on failed events
	Took     float64       `json:"took,omitempty"`    // seconds from being received to being decided; 0: not known
}

func lineOf(ev results.Event) line {
	d := ev.Data
	l := line{
		ID: ev.ID(), Time: ev.Time.UTC(), Event: ev.Type.Name(), Outcome: ev.Outcome(), Job: d.JobID, Source: d.Source,
		Filename: d.Filename, Path: d.Path, URL: d.URL, SHA256: d.SHA256, Size: d.Size, Filetype: d.Filetype, Basis: d.Basis,
	}
	if d.Error != nil {
		l.Message = d.Error.Message
	}
	if took := d.DecidedAt.Sub(d.ReceivedAt); !d.ReceivedAt.IsZero() && took > 0 {
		l.Took = took.Seconds()
	}
	return l
}
