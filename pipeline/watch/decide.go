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

// oldestEvery is the interval at which the metric of the oldest pending name is updated.
const oldestEvery = 5 * time.Second

// examineBatch is how many names are examined before other work gets its turn.
const examineBatch = 1024

// maxPath is the maximum length of a relative path in bytes; a job has no room for a longer one.
const maxPath = 4096

// errPathTooLong means that a path is longer than maxPath.
var errPathTooLong = errors.New("more than 4096 bytes")

// decider is the only part that decides about names. It examines the files; package settle
// interprets what it finds.
type decider struct {
	*opener
	hints   *hints
	scans   *scans
	known   *knownFiles
	exclude settle.Globs
	tasks   *sync.WaitGroup // the goroutines that take and publish files
}

// run owns the pending set until ctx ends.
func (d *decider) run(ctx context.Context) {
	p := settle.NewPending(d.cfg.Settle)

	var oldestUpdated time.Duration
	for ctx.Err() == nil {
		names, results := d.hints.drain(p.Len())
		d.addReports(p, names, results)

		wait := d.examineDue(ctx, p)
		freed := d.dispatch(ctx, p)
		d.w.pendingCount.Store(int64(p.Len()))
		d.w.m.pending.Set(float64(p.Len()))
		if now := d.w.clock(); now-oldestUpdated > oldestEvery || p.Len() == 0 {
			d.updateOldest(p)
			oldestUpdated = now
		}

		select {
		case <-ctx.Done():
		case <-d.hints.wake:
		case <-time.After(wait):
		case <-freed: // nil, which blocks forever, unless a file waits for room
		}
	}
}

// addReports adds reported names and results to the pending set.
func (d *decider) addReports(p *settle.Pending, names map[string]bool, results []result) {
	now := d.w.clock()
	for _, r := range results {
		d.recordOutcome(r.rel, r.outcome)
		p.SetOutcomeByName(r.rel, r.outcome, now)
	}
	for rel, event := range names {
		p.Report(rel, event, now)
	}
}

// recordOutcome counts a file that still has a writer, and clears the trouble of a file that needs
// nothing more.
func (d *decider) recordOutcome(rel string, o settle.Outcome) {
	switch o {
	case settle.Writing:
		d.w.m.deferred["writer"].Inc()
	case settle.Forget:
		d.w.troubles.clear(rel)
	}
}

// examineDue examines the names that are due, up to examineBatch, and returns the time until the
// next is due.
func (d *decider) examineDue(ctx context.Context, p *settle.Pending) time.Duration {
	for n := 0; n < examineBatch && ctx.Err() == nil; n++ {
		now := d.w.clock()
		e, due, ok := p.Next(now)
		switch {
		case !ok:
			return time.Hour
		case e == nil:
			return due - now
		}

		o, wait := d.examine(ctx, e)
		if o == settle.Later {
			p.Wait(e, now+wait)
			continue
		}
		d.recordOutcome(e.Rel, o)
		p.SetOutcome(e, o, now)
	}

	return 0
}

// dispatch starts taking ready files while more files may be in flight. If none may, it returns a
// channel that is closed when it is worth trying again.
func (d *decider) dispatch(ctx context.Context, p *settle.Pending) <-chan struct{} {
	for p.Ready() > 0 {
		ok, retry := d.w.inFlight.tryReserve()
		if !ok {
			return retry
		}

		e := p.Dequeue()
		rel, state := e.Rel, e.State
		unchanged := d.w.clock() - e.Since
		d.tasks.Go(func() {
			d.take(ctx, rel, state, unchanged, func(o settle.Outcome) { d.hints.addResult(result{rel, o}) })
		})
	}

	return nil
}

// updateOldest updates the time of the name that has been pending longest.
func (d *decider) updateOldest(p *settle.Pending) {
	first, ok := p.Oldest()
	if !ok {
		d.w.oldestPending.Store(0)
		d.w.m.oldestPending.Set(0)
		return
	}

	at := d.w.start.Add(first)
	d.w.oldestPending.Store(at.UnixNano())
	d.w.m.oldestPending.Set(float64(at.UnixMilli()) / 1e3)
}

// examineNow judges a name for which there is no room in memory, and takes the file if it is
// complete. An incomplete file is found again by the next scan.
func (d *decider) examineNow(ctx context.Context, rel string) error {
	e := settle.Entry{Rel: rel}
	if o, _ := d.examine(ctx, &e); o != settle.Take {
		return nil
	}
	if err := d.w.inFlight.reserve(ctx); err != nil {
		return err
	}

	unchanged := d.w.clock() - e.Since
	d.tasks.Go(func() { d.take(ctx, rel, e.State, unchanged, func(settle.Outcome) {}) })

	return nil
}

// examine examines a name and returns whether to take it, now or after wait.
func (d *decider) examine(ctx context.Context, e *settle.Entry) (o settle.Outcome, wait time.Duration) {
	if len(e.Rel) > maxPath {
		d.reportTrouble(ctx, e.Rel, tooLong, errPathTooLong)
		return settle.Failed, 0
	}

	st, err := d.root.Lstat(e.Rel)
	if err != nil {
		return d.openErrorOutcome(ctx, e.Rel, err), 0
	}
	if !d.eligible(e.Rel, st) || d.known.has(st) {
		return settle.Forget, 0
	}

	now := d.w.clock()
	unchanged := e.Unchanged(st, now, d.w.cautious.now(now), d.remote)
	settleTime, why := d.rules.SettleTime(e.Rel, st, e.Blind)
	if left := settleTime - unchanged; left > 0 {
		d.w.m.deferred[why].Inc()
		return settle.Later, d.rules.RecheckDelay(left, why)
	}
	if !d.isMarkedDone(e.Rel) {
		// An event for the done file leads back to this name, and so does every scan.
		d.w.m.deferred["done_file"].Inc()
		return settle.Forget, 0
	}

	return settle.Take, 0
}

// eligible reports whether a name can ever be taken. For a folder below the watched one, it
// requests a scan.
func (d *decider) eligible(rel string, st rootfs.State) bool {
	switch {
	case spool.Within(rel), spool.IsProbe(rel) && st.Size == 0:
		return false
	case d.exclude.Match(rel):
		d.w.m.skipped["excluded"].Inc()
		return false
	case st.Dir:
		if d.cfg.Recursive {
			d.scans.requestSubtree(rel)
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

	return !d.isDoneFile(rel) && !d.isDescription(rel)
}

// isDoneFile reports whether rel is a done file, and not a file to submit. If its name says which
// file it marks, it is a done file only if that file exists.
func (d *decider) isDoneFile(rel string) bool {
	isDone, marked := d.rules.Done.Is(rel)
	if marked == "" {
		return isDone
	}
	_, err := d.root.Lstat(marked)

	return !rootfs.IsGone(err)
}

// isMarkedDone reports whether rel has its done file, or needs none.
func (d *decider) isMarkedDone(rel string) bool {
	done := d.rules.Done
	if done == nil {
		return true
	}
	if isDone, _ := done.Is(rel); isDone {
		return true // eligible found that it marks nothing
	}
	st, err := d.root.Lstat(done.NameFor(rel))

	return err == nil && st.Regular
}
