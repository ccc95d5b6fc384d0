package results

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Filter says which events a Subscriber wants. The zero value wants all.
type Filter struct {
	Types    []Type   // none: every type
	Outcomes []string // verdicts and reasons, such as "malware"; none: every one
	Sources  []string // none: every source
}

// subjects are the filter's, for the server to judge.
func (f Filter) subjects(prefix string) []string {
	any := func(s []string) []string {
		if len(s) == 0 {
			return []string{"*"}
		}
		return s
	}
	var types []string
	for _, t := range f.Types {
		types = append(types, t.Name())
	}
	var out []string
	for _, t := range any(types) {
		for _, o := range any(f.Outcomes) {
			for _, s := range any(f.Sources) {
				out = append(out, prefix+".results."+t+"."+o+"."+s)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// SubscriberConfig says what a Subscriber reads, and from where on.
type SubscriberConfig struct {
	Prefix string // nats.prefix; defaults to "backburn"
	Filter Filter

	// Durable names a place in the stream that the server remembers: a Subscriber of that name goes
	// on where the last one stopped, and several of one name share the events between them.
	// Without it a Subscriber keeps its place itself, from Since on.
	Durable string

	// Since is the time of the first event wanted, when a Durable is made or there is none. The
	// zero time wants everything that is kept.
	Since time.Time

	// AckWait is how long a durable's handler may take before the event comes again. Defaults to
	// 30s.
	AckWait time.Duration

	// Ahead is how many events are fetched before the handler gets to them. With a durable, AckWait
	// runs for those as well. Defaults to 256.
	Ahead int

	// InOrder makes a durable give one event at a time, to one process: the next one comes when the
	// last one was handled, also where that took several deliveries. It holds for durables that are
	// made with it. Set Ahead to 1.
	InOrder bool
}

// Subscriber reads events from the RESULTS stream. Every event comes at least once; its ID
// is the same each time.
type Subscriber struct {
	js  jetstream.JetStream
	cfg SubscriberConfig
}

// NewSubscriber makes a Subscriber; it does nothing before Run or Drain.
func NewSubscriber(js jetstream.JetStream, cfg SubscriberConfig) *Subscriber {
	if cfg.Prefix == "" {
		cfg.Prefix = "backburn"
	}
	if cfg.AckWait == 0 {
		cfg.AckWait = 30 * time.Second
	}
	if cfg.Ahead <= 0 {
		cfg.Ahead = 256
	}
	return &Subscriber{js: js, cfg: cfg}
}

// Delivery is an event as it is in the stream, perhaps of a type that this version does not know.
type Delivery struct {
	Body     []byte    // the structured CloudEvent, byte for byte
	Stored   time.Time // when the stream took it
	Sequence uint64    // in the stream
	Pending  uint64    // how many events of the filter are behind it

	msg jetstream.Msg
}

// Event reads the body.
func (d Delivery) Event() (Event, error) {
	var e Event
	err := e.UnmarshalJSON(d.Body)
	return e, err
}

// InProgress gives the handler of a durable another AckWait.
func (d Delivery) InProgress() error { return d.msg.InProgress() }

// RawHandler gets one event as it was published. Errors mean what they mean to a Handler.
type RawHandler func(ctx context.Context, d Delivery) error

// Handler gets one event. An error brings the event of a durable again later; without a durable
// it ends Run.
type Handler func(ctx context.Context, e Event) error

// ErrStop ends Run without an error when a handler returns it. The event counts as handled.
var ErrStop = errors.New("no more events wanted")

// Run hands events to handle, one at a time, until ctx ends or handle returns ErrStop. It
// survives servers that go away and come back.
func (s *Subscriber) Run(ctx context.Context, handle Handler) error {
	return s.RunRaw(ctx, known(handle))
}

// RunRaw is Run for who passes events on: events of every type come, as they were published.
func (s *Subscriber) RunRaw(ctx context.Context, handle RawHandler) error {
	err := s.run(ctx, handle, true)
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// Drain hands every event that is there to handle, and returns.
func (s *Subscriber) Drain(ctx context.Context, handle Handler) error {
	return s.DrainRaw(ctx, known(handle))
}

// DrainRaw is Drain for who passes events on.
func (s *Subscriber) DrainRaw(ctx context.Context, handle RawHandler) error {
	err := s.run(ctx, handle, false)
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// errUnknown is an event that this version does not know.
var errUnknown = errors.New("not an event that this version knows")

// known reads events, for a handler.
func known(handle Handler) RawHandler {
	return func(ctx context.Context, d Delivery) error {
		e, err := d.Event()
		if err != nil {
			return errUnknown
		}
		return handle(ctx, e)
	}
}

const (
	drainSize = 1024
	retryWait = time.Second
	heartbeat = 5 * time.Second // two that do not come mean that the server, or the consumer, is gone
)

func (s *Subscriber) run(ctx context.Context, handle RawHandler, follow bool) error {
	p := place{since: s.cfg.Since}
	for ctx.Err() == nil {
		c, err := s.consumer(ctx, p)
		if err != nil && (!follow || p.began.IsZero() && !s.away()) {
			return fmt.Errorf("read results: %w", err) // at first it is the configuration, later it is the server
		}
		if err == nil && p.began.IsZero() {
			p.began = time.Now()
		}
		if err == nil && follow {
			err = s.follow(ctx, c, handle, &p)
		} else if err == nil {
			err = s.drain(ctx, c, handle, &p)
		}
		var handled *handlerError
		switch {
		case errors.As(err, &handled):
			return handled.err
		case err == nil && !follow:
			return nil
		case err != nil && !follow:
			return fmt.Errorf("read results: %w", err)
		}
		if !wait(ctx, retryWait) {
			break
		}
	}
	return ctx.Err()
}

// place is how far a Subscriber without a durable has come.
type place struct {
	since time.Time
	began time.Time // when the first consumer was there
	seq   uint64    // of the last message that was seen, in the stream; 0: none yet
}

// follow reads from a consumer until ctx ends, or the consumer does. Messages are asked for
// ahead of time, so that a handler does not wait for the network between two of them.
func (s *Subscriber) follow(ctx context.Context, c jetstream.Consumer, handle RawHandler, p *place) error {
	it, err := c.Messages(jetstream.PullMaxMessages(s.cfg.Ahead), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return err
	}
	defer it.Stop() // what was asked for and not handled comes again
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // the server is away, or busy; the iterator asks again
		case err != nil:
			return err
		}
		if err := s.one(ctx, m, handle, p); err != nil {
			return err
		}
	}
}

// drain reads what is there.
func (s *Subscriber) drain(ctx context.Context, c jetstream.Consumer, handle RawHandler, p *place) error {
	for ctx.Err() == nil {
		batch, err := c.FetchNoWait(drainSize)
		if err != nil {
			return err
		}
		n := 0
		for m := range batch.Messages() {
			n++
			if err := s.one(ctx, m, handle, p); err != nil {
				return err
			}
		}
		switch err := batch.Error(); {
		case err != nil:
			return err
		case n == 0 && s.cfg.Durable == "" && c.CachedInfo().NumPending > 0: // made anew for every batch
			return errors.New("the server stopped in the middle of its answer")
		case n == 0:
			return nil
		}
	}
	return ctx.Err()
}

// consumer makes a consumer. A cluster leaves requests without an answer that reach no leader:
// they are made again, a few times.
func (s *Subscriber) consumer(ctx context.Context, p place) (c jetstream.Consumer, err error) {
	for attempt := range attempts {
		actx, cancel := context.WithTimeout(ctx, attemptTime<<attempt)
		c, err = s.create(actx, p)
		cancel()
		if err == nil || !unanswered(err) || !wait(ctx, retryWait/5) {
			break
		}
	}
	return c, err
}

const (
	resets      = 3 // of an ordered consumer by itself, which does not heed ctx; then it is made anew
	attempts    = 3
	attemptTime = 2 * time.Second // for the first request, and twice as long for each further one
)

// unanswered reports whether the server may well answer the same request later.
func unanswered(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		errors.As(err, &api) && api.Code == 503
}

// away reports whether the connection is one that comes back.
func (s *Subscriber) away() bool {
	nc := s.js.Conn()
	return !nc.IsConnected() && !nc.IsClosed()
}

// create makes the durable, or an ordered one that is its own.
func (s *Subscriber) create(ctx context.Context, p place) (jetstream.Consumer, error) {
	policy := jetstream.DeliverAllPolicy
	since := (*time.Time)(nil)
	seq := uint64(0)
	switch {
	case s.cfg.Durable == "" && p.seq > 0:
		policy, seq = jetstream.DeliverByStartSequencePolicy, p.seq+1
	case !p.since.IsZero():
		policy, since = jetstream.DeliverByStartTimePolicy, &p.since
	}
	stream, subjects := strings.ToUpper(s.cfg.Prefix)+"_RESULTS", s.cfg.Filter.subjects(s.cfg.Prefix)
	if s.cfg.Durable == "" {
		return s.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
			FilterSubjects: subjects, DeliverPolicy: policy, OptStartTime: since, OptStartSeq: seq,
			MaxResetAttempts: resets,
		})
	}
	// One that is there is used as it is: where it starts was decided when it was made, perhaps by
	// somebody who may do that while this process may not.
	c, err := s.js.Consumer(ctx, stream, s.cfg.Durable)
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return c, err
	}
	unacked := 0 // the server's default
	if s.cfg.InOrder {
		unacked = 1
	}
	c, err = s.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:        s.cfg.Durable,
		Description:    "events, for a consumer or a sink",
		FilterSubjects: subjects,
		DeliverPolicy:  policy,
		OptStartTime:   since,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        s.cfg.AckWait,
		MaxAckPending:  unacked,
		MaxDeliver:     -1,
	})
	if errors.Is(err, jetstream.ErrConsumerExists) {
		return s.js.Consumer(ctx, stream, s.cfg.Durable) // another process was faster
	}
	return c, err
}

// handlerError is what a handler returned, as opposed to the server.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }
func (e *handlerError) Unwrap() error { return e.err }

func (s *Subscriber) one(ctx context.Context, m jetstream.Msg, handle RawHandler, p *place) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	p.seq = meta.Sequence.Stream
	err = handle(ctx, Delivery{
		Body:     m.Data(),
		Stored:   meta.Timestamp,
		Sequence: meta.Sequence.Stream,
		Pending:  meta.NumPending,
		msg:      m,
	})

	durable := s.cfg.Durable != ""
	switch {
	case errors.Is(err, errUnknown) && durable:
		return m.TermWithReason(errUnknown.Error())
	case errors.Is(err, errUnknown):
		return nil // of a later version
	case !durable && err != nil:
		return &handlerError{err}
	case errors.Is(err, ErrStop):
		_ = m.Ack()
		return &handlerError{err}
	case err != nil:
		return m.NakWithDelay(retryWait)
	case durable:
		return m.Ack()
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
