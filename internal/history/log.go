package history

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/pipeline"
	"backburn/results"
)

// Queue has the events; *queue.Queue implements it.
type Queue interface {
	JetStream() jetstream.JetStream
	Prefix() string        // nats.prefix
	ResultsStream() string // the stream of the events
}

const (
	idleTimeout   = time.Hour // an unused Summary is freed after this time
	retryInterval = 2 * time.Second
	askTimeout    = 5 * time.Second
)

// Log keeps a Summary of the events while it is used. It is safe for concurrent use.
type Log struct {
	queue     Queue
	limits    Limits
	log       zerolog.Logger
	requested chan struct{}

	mu         sync.Mutex
	summary    *Summary
	lastUsed   time.Time
	behind     uint64 // events that are still to be read
	isComplete bool   // the reader has reached the end once
	err        error  // why the stream cannot be read
}

// NewLog makes a Log. It reads nothing before Run and the first use.
func NewLog(q Queue, l Limits, log zerolog.Logger) *Log {
	return &Log{queue: q, limits: l, log: log, requested: make(chan struct{}, 1)}
}

// State says how complete the Summary is.
type State struct {
	Ready  bool   `json:"ready"`            // all events were read
	Behind uint64 `json:"behind,omitempty"` // events that are still to be read
	Error  string `json:"error,omitempty"`  // why events cannot be read
}

// Summary returns the Summary and its state. The first call, and a call after an hour without one,
// starts reading the stream.
func (l *Log) Summary() (*Summary, State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastUsed = time.Now()
	if l.summary == nil {
		l.summary = NewSummary(l.limits)
		l.isComplete = false
		l.behind = 0
	}
	select {
	case l.requested <- struct{}{}:
	default:
	}
	st := State{Ready: l.isComplete, Behind: l.behind}
	if l.err != nil {
		st.Error = l.err.Error()
	}

	return l.summary, st
}

// Run reads the stream while the Summary is used, until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.requested:
		}
		l.follow(ctx)
	}
}

// follow fills the Summary until it is no longer used.
func (l *Log) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	summary := l.summary
	l.mu.Unlock()
	if summary == nil {
		return
	}
	var watch sync.WaitGroup
	watch.Go(func() {
		defer cancel()
		l.waitUntilIdle(ctx)
	})
	defer watch.Wait()

	for ctx.Err() == nil {
		err := l.read(ctx, summary)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errCreatedAgain) {
			summary = l.startAgain()
			continue
		}
		l.setError(err)
		_ = pipeline.Sleep(ctx, retryInterval)
	}
}

// startAgain replaces the Summary by an empty one.
func (l *Log) startAgain() *Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.summary = NewSummary(l.limits)
	l.isComplete = false
	l.behind = 0

	return l.summary
}

// waitUntilIdle returns when ctx ends, or after an hour without use; then it frees the Summary.
func (l *Log) waitUntilIdle(ctx context.Context) {
	for pipeline.Sleep(ctx, idleTimeout/60) == nil {
		l.mu.Lock()
		isIdle := time.Since(l.lastUsed) > idleTimeout
		if isIdle {
			l.summary = nil
		}
		l.mu.Unlock()
		if isIdle {
			return
		}
	}
}

// setError records why the stream cannot be read, and logs it once.
func (l *Log) setError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && err != nil {
		l.log.Warn().Err(err).Msg("cannot read events for the dashboard; retrying")
	}
	l.err = err
}

// errCreatedAgain means that the stream was created again, so its sequences began again at 1.
var errCreatedAgain = errors.New("the stream of events was created again")

// read adds the events of the stream to the Summary. It returns when ctx ends, or with an error.
func (l *Log) read(ctx context.Context, summary *Summary) error {
	since, empty, err := l.startTime(ctx, summary)
	if err != nil {
		return err
	}
	if empty {
		l.progress(0)
	}
	l.setError(nil)
	sub := results.NewSubscriber(l.queue.JetStream(), results.SubscriberConfig{Prefix: l.queue.Prefix(), Since: since, Ahead: 1024})

	var last results.Delivery

	return sub.RunRaw(ctx, func(_ context.Context, d results.Delivery) error {
		if d.Sequence <= last.Sequence && d.Stored.After(last.Stored) {
			return errCreatedAgain
		}
		last = d
		if e, err := d.Event(); err == nil { // otherwise it is from a later version
			e.Time = earlier(e.Time, d.Stored)
			e.Data.ReceivedAt = earlier(e.Data.ReceivedAt, d.Stored)
			summary.Add(e, d.Sequence)
		}
		l.progress(d.Pending)

		return nil
	})
}

// earlier returns the earlier of two times. A gateway's clock may be ahead, and a time in the
// future would make the present hours too old to be counted.
func earlier(t, limit time.Time) time.Time {
	if t.After(limit) {
		return limit
	}

	return t
}

// progress records how many events follow the last one.
func (l *Log) progress(behind uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.behind = behind
	l.isComplete = l.isComplete || behind == 0
}

// startTime returns where to start, so that few events are read that the Summary would drop. Of the
// two events of an uploaded job, the Summary keeps one.
func (l *Log) startTime(ctx context.Context, summary *Summary) (since time.Time, empty bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := l.queue.JetStream().Stream(ctx, l.queue.ResultsStream())
	if err != nil {
		return since, false, err
	}
	state := s.CachedInfo().State
	maxEvents := uint64(2 * l.limits.Events)
	if state.Msgs <= maxEvents {
		return since, state.Msgs == 0, nil
	}

	summary.MarkIncomplete()
	m, err := s.GetMsg(ctx, state.LastSeq-maxEvents, jetstream.WithGetMsgSubject(l.queue.Prefix()+".results.>"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return state.LastTime, false, nil // the events were removed in the meantime
	}
	if err != nil {
		return since, false, err
	}

	return m.Time, false, nil
}
