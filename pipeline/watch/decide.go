package watch

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/settle"
	"backburn/pipeline/watch/spool"
)

// oldestEvery is the time between two looks for the name that has waited longest.
const oldestEvery = 5 * time.Second

// lookBatch is how many names are looked at before others have their turn.
const lookBatch = 1024

// maxPath is the length of a relative name at most, in bytes; a job has no room for more.
const maxPath = 4096

// errPathTooLong is what is wrong with a name that no job has room for.
var errPathTooLong = errors.New("more than 4096 bytes")

// workers are the goroutines that take and publish files.
type workers struct{ sync.WaitGroup }

// decider is the one place where it is decided about names. It looks at files; package settle
// knows what the looks mean.
type decider struct {
	*opener
	hints   *hints
	scans   *scans
	memory  *memory
	exclude settle.Globs
	workers *workers
}

// run owns the pending set, and returns when ctx ends.
func (d *decider) run(ctx context.Context) {
	p := settle.NewPending(d.cfg.Settle)
	names, results := map[string]bool{}, []result(nil)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var counted time.Duration
	for ctx.Err() == nil {
		names, results = d.hints.swap(names, results, p.Len())
		d.absorb(p, names, results)
		clear(names)
		results = results[:0]

		wait := d.lookAll(ctx, p)
		freed := d.dispatch(ctx, p)
		d.w.pendingCount.Store(int64(p.Len()))
		d.w.m.pending.Set(float64(p.Len()))
		if now := d.w.clock(); now-counted > oldestEvery || p.Len() == 0 {
			d.noteOldest(p)
			counted = now
		}

		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-d.hints.wake:
		case <-timer.C:
		case <-freed: // nil, and never ready, unless somebody waits for a place
		}
	}
}

// noteOldest publishes since when the oldest name waits.
func (d *decider) noteOldest(p *settle.Pending) {
	first, any := p.Oldest()
	if !any {
		d.w.oldestPending.Store(0)
		d.w.m.oldestPending.Set(0)
		return
	}

	at := d.w.start.Add(first)
	d.w.oldestPending.Store(at.UnixNano())
	d.w.m.oldestPending.Set(float64(at.UnixMilli()) / 1e3)
}

// absorb takes over what was reported.
func (d *decider) absorb(p *settle.Pending, names map[string]bool, results []result) {
	now := d.w.clock()
	for _, r := range results {
		d.count(r.rel, r.outcome)
		p.Taken(r.rel, r.outcome, now)
	}
	for rel, event := range names {
		p.Report(rel, event, now)
	}
}

// count counts what became of a file.
func (d *decider) count(rel string, o settle.Outcome) {
	switch o {
	case settle.Writing:
		d.w.m.deferred["writer"].Inc()
	case settle.Forget:
		d.w.troubles.end(rel)
	}
}

// lookAll looks at everything that is due and returns how long nothing more will be.
func (d *decider) lookAll(ctx context.Context, p *settle.Pending) time.Duration {
	for n := 0; ctx.Err() == nil; n++ {
		now := d.w.clock()
		e, due, any := p.Next(now)
		switch {
		case !any:
			return time.Hour
		case e == nil:
			return due - now
		case n == lookBatch:
			p.Wait(e, now)
			return 0
		}

		o, wait := d.look(ctx, e)
		if o == settle.Later {
			p.Wait(e, now+wait)
			continue
		}
		d.count(e.Rel, o)
		p.Settle(e, o, now)
	}

	return 0
}

// dispatch starts taking what is ready while there is room in flight. If there is none it
// returns a channel that says when to try again.
func (d *decider) dispatch(ctx context.Context, p *settle.Pending) <-chan struct{} {
	for p.Ready() > 0 {
		ok, again := d.w.inFlight.admit()
		if !ok {
			return again
		}

		e := p.Dequeue()
		rel, state := e.Rel, e.State
		unchanged := d.w.clock() - e.Since
		d.workers.Go(func() {
			d.take(ctx, rel, state, unchanged, func(o settle.Outcome) { d.hints.done(result{rel, o}) })
		})
	}

	return nil
}

// now judges a name for which there is no room in memory, and takes the file if it is complete.
// Else the next scan meets it again.
func (d *decider) now(ctx context.Context, rel string) error {
	e := settle.Entry{Rel: rel}
	if o, _ := d.look(ctx, &e); o != settle.Take {
		return nil
	}
	if err := d.w.inFlight.await(ctx); err != nil {
		return err
	}
	unchanged := d.w.clock() - e.Since
	d.workers.Go(func() { d.take(ctx, rel, e.State, unchanged, nil) })

	return nil
}

// look judges a name: whether it is to be taken, now or after wait.
func (d *decider) look(ctx context.Context, e *settle.Entry) (o settle.Outcome, wait time.Duration) {
	if len(e.Rel) > maxPath {
		d.troubled(ctx, e.Rel, tooLong, errPathTooLong)
		return settle.Failed, 0
	}
	st, err := d.root.Lstat(e.Rel)
	if err != nil {
		return d.cannotOpen(ctx, e.Rel, err), 0
	}
	if !d.eligible(e.Rel, st) || d.memory.known(st) {
		return settle.Forget, 0
	}

	now := d.w.clock()
	unchanged := e.Unchanged(st, now, d.w.cautious.now(now), d.remote)
	patience, why := d.rules.Patience(e.Rel, st, e.Blind)
	if left := patience - unchanged; left > 0 {
		d.w.m.deferred[why].Inc()
		return settle.Later, d.rules.Again(left, why)
	}
	if !d.announced(e.Rel) {
		// Its done file will be reported, and leads back here; so does every scan.
		d.w.m.deferred["done_file"].Inc()
		return settle.Forget, 0
	}

	return settle.Take, 0
}

// eligible reports whether a name can ever be taken. Folders are handed on to be scanned.
func (d *decider) eligible(rel string, st rootfs.State) bool {
	switch {
	case spool.Within(rel), spool.IsProbe(rel) && st.Size == 0:
		return false
	case d.exclude.Match(rel):
		d.w.m.skipped["excluded"].Inc()
		return false
	case st.Dir:
		if d.cfg.Recursive {
			d.scans.subtree(rel)
		}
		return false
	case !st.Regular:
		d.w.m.skipped["special"].Inc()
		return false
	case !d.cfg.Recursive && strings.Contains(rel, "/"):
		return false
	case st.Links > 1 && d.cfg.Hardlinks == HardlinksReject:
		d.w.m.skipped["hardlink"].Inc()
		return false
	}

	return !d.goesWithItsFile(rel) && !d.describesAnother(rel)
}

// goesWithItsFile reports whether rel is a done file whose file is there.
func (d *decider) goesWithItsFile(rel string) bool {
	done := d.rules.Done
	if done == nil {
		return false
	}
	isDone, of := done.Is(rel)
	switch {
	case !isDone:
		return false
	case done.Shared():
		return true
	case of == "":
		return false
	}
	_, err := d.root.Lstat(of)

	return !rootfs.IsGone(err)
}

// announced reports whether the done file of rel is there, or none is needed.
func (d *decider) announced(rel string) bool {
	done := d.rules.Done
	if done == nil {
		return true
	}
	if isDone, _ := done.Is(rel); isDone {
		return true // one that has lost its file, and is taken as one
	}
	st, err := d.root.Lstat(done.Of(rel))

	return err == nil && st.Regular
}
