package history

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/results"
)

// Queue has the events; *queue.Queue implements it.
type Queue interface {
	JetStream() jetstream.JetStream
	Prefix() string        // nats.prefix
	ResultsStream() string // the stream of the events
}

const (
	idle       = time.Hour // an unused Book is freed after this time
	retry      = 2 * time.Second
	askTimeout = 5 * time.Second
)

// Log keeps a Book of the events while it is used. It is safe for concurrent use.
type Log struct {
	queue  Queue
	limits Limits
	log    zerolog.Logger
	wanted chan struct{}

	mu     sync.Mutex
	book   *Book
	asked  time.Time
	behind uint64 // events that are still to be read
	begun  bool   // the reader has reached the end once
	err    error  // why the stream cannot be read
}

// NewLog makes a Log. It reads nothing before Run and the first use.
func NewLog(q Queue, l Limits, log zerolog.Logger) *Log {
	return &Log{queue: q, limits: l, log: log, wanted: make(chan struct{}, 1)}
}

// State says how complete the Book is.
type State struct {
	Ready  bool   `json:"ready"`            // all events were read
	Behind uint64 `json:"behind,omitempty"` // events that are still to be read
	Error  string `json:"error,omitempty"`  // why events cannot be read
}

// Book returns the Book and its state. The first call, and a call after an hour without one, starts
// reading the stream.
func (l *Log) Book() (*Book, State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = time.Now()
	if l.book == nil {
		l.book = NewBook(l.limits)
		l.begun = false
		l.behind = 0
	}
	select {
	case l.wanted <- struct{}{}:
	default:
	}
	st := State{Ready: l.begun, Behind: l.behind}
	if l.err != nil {
		st.Error = l.err.Error()
	}

	return l.book, st
}

// Run reads the stream while the Book is used, until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wanted:
		}
		l.follow(ctx)
	}
}

// follow fills the Book until it is no longer used.
func (l *Log) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	book := l.current()
	if book == nil {
		return
	}
	var watch sync.WaitGroup
	watch.Go(func() {
		defer cancel()
		l.whileAsked(ctx)
	})
	defer watch.Wait()

	for ctx.Err() == nil {
		err := l.read(ctx, book)
		if ctx.Err() != nil {
			return
		}
		l.failed(err)
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

func (l *Log) current() *Book {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.book
}

// whileAsked returns when ctx ends, or after an hour without use; then it frees the Book.
func (l *Log) whileAsked(ctx context.Context) {
	tick := time.NewTicker(idle / 60)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.mu.Lock()
			over := now.Sub(l.asked) > idle
			if over {
				l.book = nil
			}
			l.mu.Unlock()
			if over {
				return
			}
		}
	}
}

// failed records why the stream cannot be read, and logs it once.
func (l *Log) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && err != nil {
		l.log.Warn().Err(err).Msg("cannot read events for the dashboard; retrying")
	}
	l.err = err
}

// read adds the events of the stream to the Book. It returns when ctx ends, or with an error.
func (l *Log) read(ctx context.Context, book *Book) error {
	since, empty, err := l.begin(ctx, book)
	if err != nil {
		return err
	}
	if empty {
		l.progress(0)
	}
	l.failed(nil)
	sub := results.NewSubscriber(l.queue.JetStream(), results.SubscriberConfig{Prefix: l.queue.Prefix(), Since: since, Ahead: 1024})

	return sub.RunRaw(ctx, func(_ context.Context, d results.Delivery) error {
		if e, err := d.Event(); err == nil { // otherwise it is from a later version
			book.Add(e, d.Sequence)
		}
		l.progress(d.Pending)

		return nil
	})
}

// progress records how many events follow the last one.
func (l *Log) progress(behind uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.behind = behind
	l.begun = l.begun || behind == 0
}

// begin returns where to start, so that no more events are read than can be kept if every job is
// uploaded.
func (l *Log) begin(ctx context.Context, book *Book) (since time.Time, empty bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := l.queue.JetStream().Stream(ctx, l.queue.ResultsStream())
	if err != nil {
		return since, false, err
	}
	state := s.CachedInfo().State
	most := uint64(2 * l.limits.Events)
	if state.Msgs <= most {
		return since, state.Msgs == 0, nil
	}

	book.Older()
	m, err := s.GetMsg(ctx, state.LastSeq-most, jetstream.WithGetMsgSubject(l.queue.Prefix()+".results.>"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return state.LastTime, false, nil // the events were removed in the meantime
	}
	if err != nil {
		return since, false, err
	}

	return m.Time, false, nil
}
