package wildfire

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// watchdog ends an attempt that makes no progress, by cancelling its context with an error that says so.
//
// A single limit for a whole upload would have to be as long as the largest file takes on the slowest
// line. The watchdog is reset by every byte instead, and so can be short.
type watchdog struct {
	ctx    context.Context //nolint:containedctx // the attempt that it ends
	cancel context.CancelCauseFunc
	timer  *time.Timer

	stall, answer time.Duration // 0 is no limit
	state         atomic.Pointer[string]
	moved         atomic.Int64 // bytes of the file or the answer so far
}

// What an attempt waits for, as the error says it.
var (
	stateSending   = "sending"
	stateSource    = "reading the file"
	stateAnswer    = "waiting for the answer"
	stateReceiving = "receiving"
)

func newWatchdog(parent context.Context, stall, answer time.Duration) *watchdog {
	ctx, cancel := context.WithCancelCause(parent)
	dog := &watchdog{ctx: ctx, cancel: cancel, stall: stall, answer: answer}
	dog.state.Store(&stateSending)
	dog.timer = time.AfterFunc(time.Hour, dog.expire)
	dog.timer.Stop()
	return dog
}

// expire is run by the timer.
func (d *watchdog) expire() {
	state := d.state.Load()
	limit := d.stall
	if state == &stateAnswer {
		limit = d.answer
	}
	d.cancel(&stallError{state: *state, limit: limit, moved: d.moved.Load()})
}

// arm starts the timer anew; limit 0 is none. It is safe for concurrent use: the transport's goroutine may
// still be sending while the caller's reads an early answer.
func (d *watchdog) arm(limit time.Duration) {
	if limit <= 0 {
		d.timer.Stop()
		return
	}
	d.timer.Reset(limit)
}

// progress says that bytes moved, and what the attempt is about to wait for.
func (d *watchdog) progress(state *string, n int64) {
	d.state.Store(state)
	d.moved.Store(n)
	d.arm(d.stall)
}

// waiting says that the request is out, or on its way, and the answer is due.
func (d *watchdog) waiting() {
	d.state.Store(&stateAnswer)
	d.arm(d.answer)
}

// stop ends the watch and releases the context.
func (d *watchdog) stop() {
	d.timer.Stop()
	d.cancel(nil)
}

// reader explains what breaks the reading of an answer, and, with awake, takes every piece for progress;
// otherwise the whole answer has to arrive within the limit that runs already.
func (d *watchdog) reader(answer io.ReadCloser, awake bool) io.ReadCloser {
	if awake {
		d.progress(&stateReceiving, 0)
	}
	return &watchedAnswer{ReadCloser: answer, dog: d, awake: awake}
}

type watchedAnswer struct {
	io.ReadCloser
	dog   *watchdog
	awake bool
	read  int64
}

func (w *watchedAnswer) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.read += int64(n)
	if n > 0 && w.awake {
		w.dog.progress(&stateReceiving, w.read)
	}
	if err != nil && err != io.EOF {
		err = &readError{cause(w.dog.ctx, err)}
	}
	return n, err
}

// readError tells an answer that broke off from one that is wrong.
type readError struct{ err error }

func (e *readError) Error() string { return "reading the answer: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// stallError says which limit ended an attempt, and at what point.
type stallError struct {
	state string
	limit time.Duration
	moved int64
}

func (e *stallError) Error() string {
	return fmt.Sprintf("nothing moved for %v while %s, after %d bytes", e.limit, e.state, e.moved)
}

func (e *stallError) Is(target error) bool { return target == ErrStalled }

// Timeout makes the error a net.Error in spirit: it is a time-out.
func (e *stallError) Timeout() bool { return true }
