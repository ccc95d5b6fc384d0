package watch

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"
)

// patient is how many times as long as Config.Settle a file is left alone where less can be
// known about it.
const patient = 5

// remoteSkew is how far the clocks of a file server and of this machine may disagree.
const remoteSkew = time.Minute

// retryMin and retryMax bound the time after which a file is looked at again that could not
// be read.
const (
	retryMin = time.Second
	retryMax = time.Minute
)

// outcome is what a look at a file, or the try to take it, led to.
type outcome uint8

const (
	forget  outcome = iota // taken, gone, not ours, or known already
	take                   // complete: take it
	later                  // look again after wait
	changed                // it is not as it was: look again now
	busy                   // there is a writer
	blind                  // nobody can say whether there is one
	failed                 // it could not be read or moved; look again with growing delays
)

// result is what became of taking a file.
type result struct {
	rel     string
	outcome outcome
}

// decide is the one place where it is decided about names. It owns the pending set, and
// returns when ctx ends.
func (s *session) decide(ctx context.Context) {
	p := newPending()
	names, results := map[string]bool{}, []result(nil)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var counted time.Duration
	for ctx.Err() == nil {
		names, results = s.hints.swap(names, results, len(p.entries))
		s.absorb(p, names, results)
		clear(names)
		results = results[:0]
		wait := s.lookAll(ctx, p)
		freed := s.dispatch(ctx, p)
		s.w.pendingCount.Store(int64(len(p.entries)))
		s.w.m.pending.Set(float64(len(p.entries)))
		if now := s.w.clock(); now-counted > oldestEvery || len(p.entries) == 0 {
			s.noteOldest(p)
			counted = now
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-s.hints.wake:
		case <-timer.C:
		case <-freed: // nil, and never ready, unless somebody waits for a place
		}
	}
}

// oldestEvery is the time between two looks for the name that has waited longest.
const oldestEvery = 5 * time.Second

// noteOldest publishes since when the oldest name waits.
func (s *session) noteOldest(p *pending) {
	first, any := p.oldest()
	if !any {
		s.w.oldestPending.Store(0)
		s.w.m.oldestPending.Set(0)
		return
	}
	at := s.w.start.Add(first)
	s.w.oldestPending.Store(at.UnixNano())
	s.w.m.oldestPending.Set(float64(at.UnixMilli()) / 1e3)
}

// absorb takes over what was reported.
func (s *session) absorb(p *pending, names map[string]bool, results []result) {
	now := s.w.clock()
	for _, r := range results {
		e := p.entries[r.rel]
		if e == nil || e.phase != taking {
			continue // a scan took it, without a place in memory
		}
		s.settle(p, e, r.outcome, now)
	}
	for rel, event := range names {
		p.report(rel, event, now, s.w.cfg.Settle)
	}
}

// settle notes what became of taking e.
func (s *session) settle(p *pending, e *entry, o outcome, now time.Duration) {
	again := e.again
	e.again = false
	switch o {
	case forget:
		p.forget(e)
		if again {
			p.report(e.rel, true, now, s.w.cfg.Settle)
		}
	case busy:
		s.w.m.deferred["writer"].Inc()
		e.tries, e.since = 0, now
		p.wait(e, now+max(s.w.cfg.Settle, 50*time.Millisecond))
	case blind:
		e.tries, e.blind = 0, true
		p.wait(e, now)
	case failed:
		e.tries = min(e.tries+1, 16)
		p.wait(e, now+min(retryMin<<(e.tries-1), retryMax))
	default:
		e.tries = 0
		p.wait(e, now)
	}
}

// lookAll looks at everything that is due and returns how long nothing more will be.
func (s *session) lookAll(ctx context.Context, p *pending) time.Duration {
	for n := 0; ctx.Err() == nil; n++ {
		now := s.w.clock()
		e, due, any := p.next(now)
		switch {
		case !any:
			return time.Hour
		case e == nil:
			return due - now
		case n == 1024: // let others have their turn
			p.wait(e, now)
			return 0
		}
		o, wait := s.look(e)
		switch o {
		case forget:
			p.forget(e)
		case take:
			p.enqueue(e)
		case failed:
			s.settle(p, e, failed, now)
		default:
			p.wait(e, now+wait)
		}
	}
	return 0
}

// dispatch starts taking what is ready while there is room in flight. If there is none it
// returns a channel that says when to try again.
func (s *session) dispatch(ctx context.Context, p *pending) <-chan struct{} {
	for len(p.ready) > 0 {
		ok, again := s.w.flight.admit()
		if !ok {
			return again
		}
		e := p.dequeue()
		rel, state, unchanged := e.rel, e.state, s.w.clock()-e.since
		s.workers.Go(func() { s.take(ctx, rel, state, unchanged, true) })
	}
	return nil
}

// look judges a name: whether it is to be taken, now or after wait.
func (s *session) look(e *entry) (o outcome, wait time.Duration) {
	st, err := s.root.lstat(e.rel)
	switch {
	case errors.Is(err, fs.ErrNotExist), isNotDir(err):
		return forget, 0
	case err != nil:
		s.w.m.deferred["fault"].Inc()
		return failed, 0
	}
	if !s.eligible(e.rel, st) || s.known(e.rel, st) {
		return forget, 0
	}
	age := s.unchangedFor(e, st)
	patience, why := s.patience(e.rel, st, e.blind)
	if wait := patience - age; wait > 0 {
		s.w.m.deferred[why].Inc()
		return later, wait
	}
	if !s.announced(e.rel) {
		// Its done file will be reported, and leads back here; so does every scan.
		s.w.m.deferred["done_file"].Inc()
		return forget, 0
	}
	return take, 0
}

// eligible reports whether a name can ever be taken. Folders are handed on to be scanned.
func (s *session) eligible(rel string, st fileState) bool {
	switch {
	case spoolRel(rel), isProbe(rel) && st.size == 0:
		return false
	case s.w.exclude.match(rel):
		s.w.m.skipped["excluded"].Inc()
		return false
	case st.dir:
		if s.w.cfg.Recursive {
			s.scans.subtree(rel)
		}
		return false
	case !st.regular:
		s.w.m.skipped["special"].Inc()
		return false
	case !s.w.cfg.Recursive && strings.Contains(rel, "/"):
		return false
	case st.nlink > 1 && s.w.cfg.Hardlinks == HardlinksReject:
		s.w.m.skipped["hardlink"].Inc()
		return false
	}
	if s.w.done == nil {
		return true
	}
	isDone, of := s.w.done.is(rel)
	if !isDone {
		return true
	}
	if s.w.done.fixed != "" {
		return false
	}
	if of == "" {
		return true
	}
	_, err := s.root.lstat(of)
	return errors.Is(err, fs.ErrNotExist) // else it goes with its file
}

// patience is how long a file must not have changed, and why.
func (s *session) patience(rel string, st fileState, blind bool) (d time.Duration, why string) {
	d = s.w.cfg.Settle
	if st.size == 0 || s.remote || blind {
		d *= patient
	}
	temporary := s.w.deferred.match(rel) || (st.mtime == 0 && st.size > 0) // rsync -a --partial leaves 1970
	if s.w.done != nil && !temporary {
		temporary, _ = s.w.done.is(rel)
	}
	if temporary {
		return max(d, s.w.cfg.StaleAfter), "temporary"
	}
	return d, "changing"
}

// unchangedFor notes how a file was found now, and returns how long it has been so.
func (s *session) unchangedFor(e *entry, st fileState) time.Duration {
	now := s.w.clock()
	if !e.seen || !e.state.same(st) {
		e.since = s.unchangedSince(st, e, now)
		e.state, e.seen = st, true
	}
	e.look = now
	return now - e.since
}

// unchangedSince is since when a file, found in a state that is new, has been in it. The
// time of its last change says so where kernel and file system share a clock, within the
// bounds of what was seen. A remote file system's clock is trusted to a minute.
func (s *session) unchangedSince(st fileState, e *entry, now time.Duration) time.Duration {
	age := time.Duration(max(s.w.cautious.now(now)-st.ctime, 0))
	if s.remote {
		age = max(age-remoteSkew, 0)
		if e.seen {
			age = 0
		}
	}
	since := now - age
	if e.seen {
		since = max(since, e.look)
	}
	return since
}

// announced reports whether the done file of rel is there, or none is needed.
func (s *session) announced(rel string) bool {
	if s.w.done == nil {
		return true
	}
	if isDone, _ := s.w.done.is(rel); isDone {
		return true // one that has lost its file, and is taken as one
	}
	st, err := s.root.lstat(s.w.done.of(rel))
	return err == nil && st.regular
}
