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

// SubscriberConfig says which events a Subscriber reads, and where it starts.
type SubscriberConfig struct {
	Prefix string // nats.prefix; defaults to "backburn"
	Filter Filter

	// Durable names a position in the stream that the server remembers. A Subscriber with that name
	// continues where the last one stopped, and several with the same name share the events. If it
	// was deleted, a Subscriber creates it again, from Since on. Without a name a Subscriber starts
	// at Since and keeps its position in memory.
	Durable string

	// Since is when the stream stored the first event to deliver, for a new Durable or without one.
	// The zero time delivers all events in the stream.
	Since time.Time

	// AckWait is how long a durable's handler may take before the event is redelivered. Defaults to
	// 30s.
	AckWait time.Duration

	// Ahead is how many events Run fetches in advance; Drain fetches up to 1,024. With a durable,
	// their AckWait is already running. Defaults to 256.
	Ahead int

	// InOrder makes a durable deliver one event at a time, to one process: the next event is
	// delivered only after the last one was handled, even if that took several deliveries. It has
	// an effect only when the durable is created. Set Ahead to 1.
	InOrder bool

	// Update applies Filter and AckWait to an existing Durable, from its position on. Without
	// Update, a Durable keeps those that it was created with. Update needs the permission to change
	// the durable.
	Update bool
}

// Subscriber reads events from the RESULTS stream. It delivers every event at least once, with the
// same ID each time.
type Subscriber struct {
	js  jetstream.JetStream
	cfg SubscriberConfig
}

// NewSubscriber creates a Subscriber. It makes no request before Run or Drain.
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

// Delivery is an event as stored in the stream. This version may not know its type.
type Delivery struct {
	Body     []byte    // the structured CloudEvent, byte for byte
	Stored   time.Time // when the stream stored it
	Sequence uint64    // in the stream
	Pending  uint64    // how many later events match the filter

	msg jetstream.Msg
}

// Event parses the body.
func (d Delivery) Event() (Event, error) {
	var e Event
	err := e.UnmarshalJSON(d.Body)
	return e, err
}

// InProgress restarts the AckWait of a durable's event, so that its handler may take longer.
func (d Delivery) InProgress() error { return d.msg.InProgress() }

// RawHandler gets one event as it was published. Its errors mean the same as a Handler's.
type RawHandler func(ctx context.Context, d Delivery) error

// Handler gets one event. After an error, a durable delivers the event again later; without a
// durable the error ends Run.
type Handler func(ctx context.Context, e Event) error

// ErrStop, returned by a handler, ends Run without an error. The event counts as handled.
var ErrStop = errors.New("the handler wants no more events")

// Run passes events to handle, one at a time, until ctx ends or handle returns ErrStop (without a
// durable: any error). If it cannot read the stream at the start, although there is a connection,
// it returns the error. After that it repeats what fails: it survives servers that stop and come
// back, and a stream that is created again.
func (s *Subscriber) Run(ctx context.Context, handle Handler) error {
	return s.RunRaw(ctx, skipUnknown(handle))
}

// RunRaw is Run for programs that forward events: it delivers events of every type, unchanged.
func (s *Subscriber) RunRaw(ctx context.Context, handle RawHandler) error {
	return s.run(ctx, handle, true)
}

// Drain passes stored events to handle until there are no more, and returns. With a durable, it
// does not wait for events that another process is handling or whose handler failed. Its error is
// that of the handler, of NATS or of ctx.
func (s *Subscriber) Drain(ctx context.Context, handle Handler) error {
	return s.DrainRaw(ctx, skipUnknown(handle))
}

// DrainRaw is Drain for programs that forward events.
func (s *Subscriber) DrainRaw(ctx context.Context, handle RawHandler) error {
	return s.run(ctx, handle, false)
}

const (
	drainSize  = 1024 // messages of one request
	retryDelay = time.Second
	resetCheck = 5 * time.Second // how often an idle Subscriber checks whether its consumer was reset
	heartbeat  = 5 * time.Second // after two missing heartbeats the server or the consumer counts as gone
)

// run reads events until ctx ends, a handler returns an error that ends reading or, unless follow
// is set, all existing events were read. ErrStop from a handler is a success.
func (s *Subscriber) run(ctx context.Context, handle RawHandler, follow bool) error {
	p := position{since: s.cfg.Since}
	for ctx.Err() == nil {
		c, err := s.consumer(ctx, p)
		if err != nil && (!follow || !p.began && !s.reconnecting()) {
			return fmt.Errorf("read results: %w", err) // before the first consumer exists, an error is permanent, unless the connection is down
		}
		if err == nil {
			p.began = true
			err = s.read(ctx, c, handle, follow, &p)
		}
		handled, ok := errors.AsType[handlerError](err)
		switch {
		case errors.Is(err, ErrStop), err == nil && !follow:
			return nil
		case ok:
			return handled.error
		case !follow:
			return fmt.Errorf("read results: %w", err)
		}
		if !wait(ctx, retryDelay) {
			break
		}
	}

	return ctx.Err()
}

// position is the position of a Subscriber. A durable has its own; then seq and at are not used.
type position struct {
	since time.Time
	began bool      // a consumer was created or found
	seq   uint64    // stream sequence of the last message; 0: none yet
	at    time.Time // when the stream stored it
}

// alreadyDelivered reports whether a message was delivered before. A low sequence alone does not
// show that, because a stream that was created again begins at 1.
func (p position) alreadyDelivered(meta *jetstream.MsgMetadata) bool {
	return meta.Sequence.Stream <= p.seq && !meta.Timestamp.After(p.at)
}

// errReset means that an ordered consumer has reset itself. Such a consumer continues at the next
// sequence, which is wrong if the stream was created again. So run creates another consumer.
var errReset = errors.New("the consumer was created again")

// read reads from a consumer, and removes it unless it is a durable.
func (s *Subscriber) read(ctx context.Context, c jetstream.Consumer, handle RawHandler, follow bool, p *position) error {
	if s.cfg.Durable == "" {
		defer s.remove(ctx, c)
	}
	if follow {
		return s.follow(ctx, c, handle, p)
	}

	return s.drain(ctx, c, handle, p)
}

// follow reads from a consumer until ctx or the consumer ends. It requests messages in advance, so
// that the handler does not wait for the network between two of them.
func (s *Subscriber) follow(ctx context.Context, c jetstream.Consumer, handle RawHandler, p *position) error {
	it, err := c.Messages(jetstream.PullMaxMessages(s.cfg.Ahead), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return err
	}
	defer it.Stop() // fetched messages that were not handled are redelivered
	defer context.AfterFunc(ctx, it.Stop)()
	name := c.CachedInfo().Name
	for {
		m, err := it.Next(jetstream.NextMaxWait(resetCheck))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case c.CachedInfo().Name != name:
			return errReset
		case errors.Is(err, nats.ErrTimeout):
			continue // no event yet
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // the server is unreachable or busy; the iterator repeats its request
		case err != nil:
			return err
		}
		if err := s.handleMessage(ctx, m, handle, p); err != nil {
			return err
		}
	}
}

// drain reads the existing messages.
func (s *Subscriber) drain(ctx context.Context, c jetstream.Consumer, handle RawHandler, p *position) error {
	for ctx.Err() == nil {
		batch, err := c.FetchNoWait(drainSize)
		if err != nil {
			return err
		}
		n := 0
		for m := range batch.Messages() {
			n++
			if err := s.handleMessage(ctx, m, handle, p); err != nil {
				return err
			}
		}
		switch err := batch.Error(); {
		case err != nil:
			return err
		case n == 0 && s.cfg.Durable == "" && c.CachedInfo().NumPending > 0: // an ordered consumer is created again for every batch, so NumPending is from before this one
			return errors.New("the server stopped in the middle of its answer")
		case n == 0:
			return nil
		}
	}

	return ctx.Err()
}

// wait waits for d. It returns false if ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// consumer creates or finds the consumer. A cluster without a leader does not answer requests, so
// they are repeated a few times.
func (s *Subscriber) consumer(ctx context.Context, p position) (c jetstream.Consumer, err error) {
	for attempt := range maxAttempts {
		attemptCtx, cancel := context.WithTimeout(ctx, firstTimeout<<attempt)
		c, err = s.create(attemptCtx, p)
		cancel()
		if err == nil || !mayAnswerLater(err) || !wait(ctx, retryDelay/5) {
			break
		}
	}

	return c, err
}

const (
	maxResets    = 3 // how often an ordered consumer tries to reset itself, ignoring ctx; after that, run creates another one
	maxAttempts  = 3
	firstTimeout = 2 * time.Second // of the first request; it doubles with each further request
)

// mayAnswerLater reports whether the server may answer the same request later.
func mayAnswerLater(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) ||
		ok && api.Code == 503
}

// reconnecting reports whether the connection is down and will reconnect.
func (s *Subscriber) reconnecting() bool {
	nc := s.js.Conn()
	return !nc.IsConnected() && !nc.IsClosed()
}

// create finds or creates the durable, or creates an ordered consumer for this Subscriber alone.
func (s *Subscriber) create(ctx context.Context, p position) (jetstream.Consumer, error) {
	policy := jetstream.DeliverAllPolicy
	since := (*time.Time)(nil)
	switch {
	case s.cfg.Durable == "" && p.seq > 0:
		policy, since = jetstream.DeliverByStartTimePolicy, &p.at
	case !p.since.IsZero():
		policy, since = jetstream.DeliverByStartTimePolicy, &p.since
	}
	stream, subjects := s.stream(), s.cfg.Filter.subjects(s.cfg.Prefix)
	if s.cfg.Durable == "" {
		return s.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
			FilterSubjects: subjects, DeliverPolicy: policy, OptStartTime: since,
			MaxResetAttempts: maxResets,
		})
	}
	// Look for the durable first: this process may lack the permission to create one.
	c, err := s.js.Consumer(ctx, stream, s.cfg.Durable)
	if err == nil && s.cfg.Update {
		return s.update(ctx, stream, c, subjects)
	}
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return c, err
	}
	maxUnacked := 0 // the server's default
	if s.cfg.InOrder {
		maxUnacked = 1
	}
	c, err = s.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:        s.cfg.Durable,
		Description:    "events, for a consumer or a sink",
		FilterSubjects: subjects,
		DeliverPolicy:  policy,
		OptStartTime:   since,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        s.cfg.AckWait,
		MaxAckPending:  maxUnacked,
		MaxDeliver:     -1,
	})
	if errors.Is(err, jetstream.ErrConsumerExists) {
		return s.js.Consumer(ctx, stream, s.cfg.Durable) // another process has just created it
	}

	return c, err
}

// errUnknown says that this version cannot read an event, such as one of a later type.
var errUnknown = errors.New("not an event that this version knows")

// skipUnknown parses events for a handler, and skips those that it cannot parse.
func skipUnknown(handle Handler) RawHandler {
	return func(ctx context.Context, d Delivery) error {
		e, err := d.Event()
		if err != nil {
			return errUnknown
		}
		return handle(ctx, e)
	}
}

// update changes the filter and the AckWait of a durable, unless they are as configured.
func (s *Subscriber) update(ctx context.Context, stream string, c jetstream.Consumer, subjects []string) (jetstream.Consumer, error) {
	cfg := c.CachedInfo().Config
	current := cfg.FilterSubjects
	if cfg.FilterSubject != "" {
		current = []string{cfg.FilterSubject}
	}
	slices.Sort(current)
	if slices.Equal(current, subjects) && cfg.AckWait == s.cfg.AckWait {
		return c, nil
	}

	cfg.FilterSubject = ""
	cfg.FilterSubjects = subjects
	cfg.AckWait = s.cfg.AckWait

	return s.js.UpdateConsumer(ctx, stream, cfg)
}

func (s *Subscriber) stream() string { return strings.ToUpper(s.cfg.Prefix) + "_RESULTS" }

// removeTimeout bounds the removal of a consumer.
const removeTimeout = 2 * time.Second

// remove removes the consumer of this Subscriber alone. Otherwise the server would keep it for five
// minutes, and a stream may have only 1,000 consumers by default.
func (s *Subscriber) remove(ctx context.Context, c jetstream.Consumer) {
	info := c.CachedInfo()
	if info == nil {
		return
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	_ = s.js.DeleteConsumer(ctx, s.stream(), info.Name) // if this fails, the server removes it later
}

// handlerError is an error of the handler that ends reading, as opposed to an error of the server.
type handlerError struct{ error }

func (e handlerError) Unwrap() error { return e.error }

// handleMessage passes a message to the handler and, for a durable, acknowledges it.
func (s *Subscriber) handleMessage(ctx context.Context, m jetstream.Msg, handle RawHandler, p *position) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	if s.cfg.Durable == "" {
		if p.alreadyDelivered(meta) {
			return nil
		}
		p.seq = meta.Sequence.Stream
		p.at = meta.Timestamp
	}
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
		return nil // the event is of a later version
	case !durable && err != nil:
		return handlerError{err}
	case errors.Is(err, ErrStop):
		_ = m.Ack()
		return handlerError{err}
	case err != nil:
		return m.NakWithDelay(retryDelay)
	case durable:
		return m.Ack()
	}

	return nil
}
