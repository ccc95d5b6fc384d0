package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
	"backburn/wildfire"
)

// outlook says when a sample is due again, and for what.
type outlook struct {
	due     time.Time
	pending bool // to be asked about; otherwise to be looked at
	queued  bool // it waits for its turn to go back to work
}

// lookLoop takes up samples as they become due: those that are pending at WildFire are put
// on the list to ask, the others are looked at.
func (b *batcher) lookLoop(ctx context.Context) error {
	_, _, pauseChanged := b.pauses.active(Uploads)
	looking := make(chan struct{}, 4*settleAtOnce) // a new batcher looks at all that wait
	for {
		looks, next := b.takeDue()
		for _, e := range looks {
			select {
			case looking <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			b.settleAsync(ctx, func() {
				defer func() { <-looking }()
				b.done(e, b.look(ctx, e))
			})
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-b.wakeLook:
		case <-pauseChanged:
			_, _, pauseChanged = b.pauses.active(Uploads)
			b.lookAgain()
		case <-timer.C:
		}
		timer.Stop()
	}
}

// takeDue takes what is due out of the schedule, and says when to look again.
func (b *batcher) takeDue() (looks []*waiting, next time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for {
		e := b.list.pop(now)
		if e == nil {
			break
		}
		if e.pending {
			b.toAsk[e.key] = e
			signal(b.wakeAsk)
			continue
		}
		e.busy = true
		looks = append(looks, e)
	}
	b.m.waiting.Set(float64(b.list.jobs))
	if at := b.list.next(); !at.IsZero() {
		return looks, min(max(at.Sub(now), 0), b.tick)
	}
	return looks, b.tick
}

// lookAgain makes everything due that is not pending: uploads were paused, or go on.
func (b *batcher) lookAgain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.list.entries {
		if !e.pending && !e.busy {
			b.list.schedule(e, b.now())
		}
	}
}

// done puts a sample back into the schedule, unless nobody waits for it any more.
func (b *batcher) done(e *waiting, o outlook) {
	b.mu.Lock()
	e.busy = false
	if e.again {
		e.again, o = false, outlook{due: b.now()}
	}
	if e.jobs.len() == 0 {
		b.list.drop(e)
	} else {
		e.pending = o.pending
		b.list.queue(e, o.queued)
		b.list.schedule(e, o.due)
	}
	b.mu.Unlock()
	signal(b.wakeLook)
}

// look finds out what is known about a sample, and acts on it.
func (b *batcher) look(ctx context.Context, e *waiting) outlook {
	s, _, err := b.sampleOf(ctx, e.key)
	if err != nil {
		b.log.Warn().Err(err).Str("sha256", e.key).Msg("sample can't be read")
		return outlook{due: b.now().Add(b.cfg.Lease)}
	}
	return b.act(ctx, e, s)
}

// act does what follows from the state of a sample for the jobs that wait for it. It is the one
// place where jobs leave WAITING.
func (b *batcher) act(ctx context.Context, e *waiting, s sample) outlook {
	switch s.State {
	case stateVerdict:
		return b.each(ctx, e, func(w *waitingMessage) (results.Event, bool) {
			return verdictEvent(w.envelope.Job, s, w.basis, b.now()), true
		})
	case stateRefused:
		return b.each(ctx, e, func(w *waitingMessage) (results.Event, bool) {
			if !s.Refusal.covers(w.envelope.Job) {
				return results.Event{}, false
			}
			return failedEvent(w.envelope.Job, s.Refusal.Error, s.Attempts, b.now()), true
		})
	case statePending:
		b.mu.Lock()
		e.submitted = s.SubmittedAt
		b.mu.Unlock()
		if !b.now().Before(s.SubmittedAt.Add(b.cfg.Deadline)) {
			return b.timeOut(ctx, e)
		}
		due := schedule{b.cfg.FirstPoll, b.cfg.MaxPoll}.next(s.SubmittedAt, b.now())
		return outlook{due: b.soonest(due, s.SubmittedAt), pending: true}
	case stateUploading, stateRetrying:
		// Its own job is in JOBS, and comes back if its worker dies. Should that job have been
		// removed by hand, one of ours goes on in its stead.
		if at := s.ChangedAt.Add(b.cfg.patience()); b.now().Before(at) {
			return outlook{due: at}
		}
	}
	if p, paused, _ := b.pauses.long(Queries); paused && (b.cfg.AskFirst || s.Unsure || s.State == stateUploading) {
		return outlook{due: p.Until} // it would have to be asked about first
	}
	return b.hurry(ctx, e)
}

// soonest keeps the deadline from being slept through.
func (b *batcher) soonest(due, submitted time.Time) time.Time {
	if end := submitted.Add(b.cfg.Deadline); end.Before(due) {
		return end
	}
	return due
}

// timeOut ends the jobs whose sample got no verdict in time, and frees the sample.
func (b *batcher) timeOut(ctx context.Context, e *waiting) outlook {
	cause := results.Error{Reason: results.VerdictTimeout, Message: fmt.Sprintf("WildFire gave no verdict within %s", b.cfg.Deadline)}
	o := b.each(ctx, e, func(w *waitingMessage) (results.Event, bool) {
		return failedEvent(w.envelope.Job, cause, 0, b.now()), true
	})
	if b.awaited(e) {
		return o // some could not be settled: freed now, the sample would be uploaded for them again
	}
	_, err := b.q.changeSample(ctx, e.key, func(s *sample) bool {
		if s.State != statePending {
			return false
		}
		*s = sample{}
		return true
	})
	if err != nil {
		b.log.Warn().Err(err).Str("sha256", e.key).Msg("sample can't be freed")
	}
	return o
}

// awaited reports whether jobs wait for a sample.
func (b *batcher) awaited(e *waiting) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return e.jobs.len() > 0
}

// hurry sends one job of a sample that nobody is working on back to JOBS. The others go on
// waiting: it is as if the one had come first.
func (b *batcher) hurry(ctx context.Context, e *waiting) outlook {
	b.mu.Lock()
	var job waitingJob
	for j := range e.jobs.all() {
		if job.subject == "" || laneRank(j.lane) < laneRank(job.lane) || (j.lane == job.lane && j.seq < job.seq) {
			job = j
		}
	}
	b.mu.Unlock()
	if job.subject == "" {
		return outlook{due: b.now()}
	}
	now := b.now()
	if p, paused, _ := b.pauses.long(Uploads); paused {
		return outlook{due: p.Until}
	}
	if ok, err := b.uploads.available(ctx, job.lane); err != nil || !ok {
		return outlook{due: now.Add(min(spentPatience, resetAfter(now).Sub(now)))}
	}
	if !b.requeues.Allow() {
		return outlook{due: now.Add(b.turn()), queued: true}
	}
	if err := b.requeue(ctx, e, job); err != nil {
		b.log.Warn().Err(err).Str("sha256", e.key).Msg("waiting job can't be sent back to work")
		return outlook{due: b.now().Add(b.cfg.Lease)}
	}
	return outlook{due: b.now().Add(4 * b.cfg.Lease)}
}

// turn is when to try again to send a job back to work: some time within the one that all which
// wait for that would need at the pace of requeues, so that however many they are, few are
// looked at in vain.
func (b *batcher) turn() time.Duration {
	b.mu.Lock()
	n := b.list.queued + 1
	b.mu.Unlock()
	all := time.Duration(float64(n) / float64(b.requeues.Limit()) * float64(time.Second))
	return rand.N(min(max(all, time.Second), spentPatience))
}

// requeue hands a waiting job to the workers again, under its own id.
func (b *batcher) requeue(ctx context.Context, e *waiting, job waitingJob) error {
	w, err := b.fetch(ctx, job)
	if err != nil {
		return err
	}
	if w == nil {
		b.forget(e, job)
		return nil
	}
	m := w.envelope.onward(w.envelope.subject)
	m.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s.again.%d", w.envelope.Job.ID, job.seq))
	if _, err := b.q.publish(ctx, m); err != nil {
		return err
	}
	return b.leave(ctx, e, job)
}

// waitingMessage is a job read back from WAITING.
type waitingMessage struct {
	envelope envelope
	basis    results.Basis
}

// fetch reads a message of WAITING; nil if it isn't there any more.
func (b *batcher) fetch(ctx context.Context, job waitingJob) (*waitingMessage, error) {
	m, err := b.q.waiting.GetMsg(ctx, job.seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", job.subject, err)
	}
	if m.Subject != job.subject {
		return nil, nil // the stream was made anew: ours is gone
	}
	env, err := b.q.open(m.Header.Get(HeaderSubject), m.Header, m.Data, m.Sequence, m.Time)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", job.subject, err)
	}
	return &waitingMessage{env, results.Basis(m.Header.Get(headerBasis))}, nil
}

// leave takes a message out of WAITING.
func (b *batcher) leave(ctx context.Context, e *waiting, job waitingJob) error {
	if err := b.q.waiting.DeleteMsg(ctx, job.seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != errCodeNoSuchMessage {
			return fmt.Errorf("remove %s from waiting: %w", job.subject, err)
		}
	}
	b.forget(e, job)
	return nil
}

func (b *batcher) forget(e *waiting, job waitingJob) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list.remove(e, job)
}

// The server's code for a delete of what isn't there.
const errCodeNoSuchMessage jetstream.ErrorCode = 10043

// each ends every job that waits for a sample with the event that decide makes for it;
// those for which it makes none go back to JOBS.
func (b *batcher) each(ctx context.Context, e *waiting, decide func(*waitingMessage) (results.Event, bool)) outlook {
	b.mu.Lock()
	jobs := slices.Collect(e.jobs.all())
	b.mu.Unlock()
	for _, job := range jobs {
		if err := b.end(ctx, e, job, decide); err != nil {
			if ctx.Err() == nil {
				b.log.Warn().Err(err).Str("sha256", e.key).Msg("waiting job can't be settled yet")
			}
			return outlook{due: b.now().Add(b.cfg.Lease / 3)}
		}
	}
	return outlook{due: b.now().Add(b.cfg.Lease)} // for what arrived meanwhile
}

func (b *batcher) end(ctx context.Context, e *waiting, job waitingJob, decide func(*waitingMessage) (results.Event, bool)) error {
	w, err := b.fetch(ctx, job)
	if err != nil {
		return err
	}
	if w == nil {
		b.forget(e, job)
		return nil
	}
	ev, ok := decide(w)
	if !ok {
		return b.requeue(ctx, e, job)
	}
	sctx, span := b.tracing.verdict(ctx, &w.envelope)
	ev, err = b.q.settle(sctx, &w.envelope, ev)
	endVerdict(span, ev, err)
	if err != nil {
		return err
	}
	b.m.finished(ev)
	logOutcome(b.log, ev)
	return b.leave(ctx, e, job)
}

// laneRank orders lanes, the most urgent first.
func laneRank(p Priority) int {
	for i, l := range Priorities() {
		if l == p {
			return i
		}
	}
	return len(Priorities())
}

// covers reports whether the refusal holds for another job with the same contents.
func (r *refusal) covers(j Job) bool {
	return r != nil && (r.Ext == "" || r.Ext == extension(j))
}

// extension is what WildFire would tell a script by; "." for a name without one.
func extension(j Job) string { return cmp.Or(strings.ToLower(path.Ext(j.Filename)), ".") }

// verdictEvent is the final event of a job whose sample has its verdict.
func verdictEvent(j Job, s sample, basis results.Basis, at time.Time) results.Event {
	v := wildfire.Verdict(s.Verdict)
	ev := eventFor(results.Verdict, j, at)
	code := s.Verdict
	ev.Data.Verdict, ev.Data.VerdictCode, ev.Data.Basis = v.String(), &code, basis
	ev.Data.MD5, ev.Data.Filetype = s.MD5, s.Filetype
	ev.Data.DecidedAt = s.DecidedAt
	if ev.Data.Size == 0 {
		ev.Data.Size = s.Size
	}
	if basis == results.BasisUpload || basis == results.BasisShared {
		ev.Data.SubmittedAt = s.SubmittedAt
	}
	if basis == results.BasisUpload {
		ev.Data.Attempts = s.Attempts + 1
	}
	return ev
}

// failedEvent is the final event of a job that could not be done.
func failedEvent(j Job, cause results.Error, attempts int, at time.Time) results.Event {
	ev := eventFor(results.Failed, j, at)
	ev.Data.Error, ev.Data.Attempts, ev.Data.DecidedAt = &cause, attempts, at.UTC()
	return ev
}
