package wildfire

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// watchdog ends an attempt that makes no progress. It cancels the attempt's context with an error
// that says where the attempt stalled.
//
// One time limit for a whole upload would have to be long enough for the largest file on the
// slowest line. Every transferred piece restarts the watchdog instead, so its limit can be short.
type watchdog struct {
	ctx    context.Context //nolint:containedctx // the attempt that it ends
	cancel context.CancelCauseFunc
	timer  *time.Timer

	stall, answer time.Duration // limits, see Config.StallTimeout and Config.AnswerTimeout; 0: none
	state         atomic.Pointer[string]
	transferred   atomic.Int64 // bytes of the file or the answer that were transferred so far
}

// What an attempt is waiting for, in the words of the error.
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

// expire ends the attempt. The timer calls it.
func (d *watchdog) expire() {
	state := d.state.Load()
	limit := d.stall
	if state == &stateAnswer {
		limit = d.answer
	}
	d.cancel(&stallError{state: *state, limit: limit, moved: d.transferred.Load()})
}

// arm restarts the timer with a limit; 0 means no limit. It must be safe for concurrent use: the
// transport's goroutine may still be sending while the caller reads an early answer.
func (d *watchdog) arm(limit time.Duration) {
	if limit <= 0 {
		d.timer.Stop()
		return
	}
	d.timer.Reset(limit)
}

// progress records what the attempt is waiting for, and how many bytes were transferred so far.
// Then it restarts the timer.
func (d *watchdog) progress(state *string, n int64) {
	d.state.Store(state)
	d.transferred.Store(n)
	d.arm(d.stall)
}

// awaitAnswer records that the attempt waits for the answer.
func (d *watchdog) awaitAnswer() {
	d.state.Store(&stateAnswer)
	d.arm(d.answer)
}

// stop ends the watch and releases the context.
func (d *watchdog) stop() {
	d.timer.Stop()
	d.cancel(nil)
}

// reader returns a reader of the answer whose errors say why the answer broke off. If resetOnRead
// is set, every piece restarts the timer. Otherwise the whole answer has to arrive before the timer
// of awaitAnswer ends.
func (d *watchdog) reader(answer io.ReadCloser, resetOnRead bool) io.ReadCloser {
	if resetOnRead {
		d.progress(&stateReceiving, 0)
	}
	return &watchedAnswer{ReadCloser: answer, dog: d, resetOnRead: resetOnRead}
}

// watchedAnswer is the body of an answer under a watchdog.
type watchedAnswer struct {
	io.ReadCloser
	dog         *watchdog
	resetOnRead bool
	read        int64
}

func (w *watchedAnswer) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.read += int64(n)
	if n > 0 && w.resetOnRead {
		w.dog.progress(&stateReceiving, w.read)
	}
	if err != nil && err != io.EOF {
		err = &readError{cause(w.dog.ctx, err)}
	}

	return n, err
}

// readError says that an answer broke off. It distinguishes this from a wrong answer.
type readError struct{ err error }

func (e *readError) Error() string { return "reading the answer: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// stallError says which limit ended an attempt, and in which phase.
type stallError struct {
	state string
	limit time.Duration
	moved int64
}

func (e *stallError) Error() string {
	if e.state == stateAnswer { // the answer may have arrived in part
		return fmt.Sprintf("over the limit of %v while %s, after %d bytes", e.limit, e.state, e.moved)
	}

	return fmt.Sprintf("no progress for %v while %s, after %d bytes", e.limit, e.state, e.moved)
}

func (e *stallError) Is(target error) bool { return target == ErrStalled }

// Timeout marks the error as a time-out, as net.Error requires.
func (e *stallError) Timeout() bool { return true }
