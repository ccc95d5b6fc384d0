package watch

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"backburn/internal/guard"
	"backburn/internal/rootfs"
	"backburn/pipeline/watch/settle"
	"backburn/pipeline/watch/spool"
)

const (
	scanSpacing  = 20 // minimum interval between scans that nobody requested, as a multiple of their duration
	minScanPause = time.Second
	eventSlots   = 1024 // events buffered between the kernel's queue and ours
)

// finder reports the names of files from events and scans.
type finder struct {
	*folder
	events   *fsnotify.Watcher // nil in poll mode
	hints    *hints
	scans    *scans
	exclude  settle.Globs
	doneFile *settle.DoneFile // nil without one
	known    *knownFiles
	decider  *decider // takes files directly when there is no room in memory
	recheck  func()   // makes the maintainer check the folder
}

// follow turns file system events into hints. It does nothing else, because slow handling would
// make the kernel's queue overflow. Errors are read in the same select: while one is unread,
// fsnotify delivers nothing more.
func (f *finder) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev, ok := <-f.events.Events:
			if !ok {
				return errors.New("file system event source closed")
			}
			f.w.m.events.Inc()
			if f.w.onEvent != nil {
				f.w.onEvent()
			}
			f.reportEvent(ev)
		case err, ok := <-f.events.Errors:
			if !ok {
				return errors.New("file system event source closed")
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				f.w.log.Warn().Err(err).Msg("file system events failed; scanning instead")
			}
			f.w.m.overflows.Inc()
			f.scans.requestFull()
		}
	}
}

// reportEvent reports the name in an event.
func (f *finder) reportEvent(ev fsnotify.Event) {
	if ev.Name == f.root.Name() {
		if ev.Has(fsnotify.Remove) || ev.Has(fsnotify.Rename) {
			f.recheck()
		}
		return
	}

	if !ev.Has(fsnotify.Create) && !ev.Has(fsnotify.Write) && !ev.Has(fsnotify.Chmod) {
		return // the name no longer exists, perhaps because we claimed the file
	}
	rel, err := filepath.Rel(f.root.Name(), ev.Name)
	if err != nil {
		return
	}

	rel = filepath.ToSlash(rel)
	if !f.hints.add(rel, true) {
		f.w.m.overflows.Inc()
		f.scans.requestFull()
	}
	if isDone, marked := f.doneFile.Is(rel); isDone {
		if marked == "" || !f.hints.add(marked, true) {
			f.scans.requestFull()
		}
	}
}

// run scans everything once, then every Config.Scan and whenever a scan is requested.
func (f *finder) run(ctx context.Context) error {
	last, took, err := f.scanAll(ctx)
	for err == nil && ctx.Err() == nil {
		subtrees, full := f.scans.next()
		pause := max(f.cfg.Scan, scanSpacing*took)
		pause += time.Duration(rand.Int64N(int64(pause)/5+1)) - pause/10 // jitter, because many folders may share one disk
		if full {
			pause = min(pause, max(min(minScanPause, f.cfg.Scan), 2*took))
		}

		// Check the time before the subtrees: while new folders keep appearing, the full scan must
		// still run.
		wait := time.Until(last.Add(pause))
		if wait <= 0 {
			last, took, err = f.scanAll(ctx) // includes all subtrees
			continue
		}
		if len(subtrees) == 0 {
			f.scans.await(ctx, wait)
		}
		for _, rel := range subtrees {
			if err := f.scanTree(ctx, rel, f.visit); err != nil && f.handleScanError(ctx, rel, err) {
				f.scans.requestFull()
			}
		}
	}

	return err
}

// scanAll scans the whole folder.
func (f *finder) scanAll(ctx context.Context) (end time.Time, took time.Duration, err error) {
	begin := time.Now()
	f.scans.begin()
	f.w.health.beginScan()

	var n int64
	err = f.scanTree(ctx, "", func(ctx context.Context, rel string, t fs.FileMode) error {
		n++
		return f.visit(ctx, rel, t)
	})
	if ctx.Err() != nil {
		return time.Now(), 0, nil //nolint:nilerr // the end of ctx is not an error
	}
	if err != nil {
		return time.Now(), 0, err
	}

	f.w.health.endScan()
	end = time.Now()
	took = end.Sub(begin)
	f.w.scanned.Store(n)
	f.w.lastScan.Store(end.UnixNano())
	f.w.m.scanEntries.Set(float64(n))
	f.w.m.scanSeconds.Observe(took.Seconds())
	if f.w.onScan != nil {
		f.w.onScan()
	}

	return end, took, nil
}

// visitFunc is called for an entry that a scan found, with its path in the folder and its type.
type visitFunc func(ctx context.Context, rel string, t fs.FileMode) error

// visit reports an entry that a scan found. If there is no room for its name, the entry is judged
// immediately.
func (f *finder) visit(ctx context.Context, rel string, t fs.FileMode) error {
	if spool.Within(rel) || t.IsRegular() && f.known.hasName(rel) || f.hints.add(rel, false) {
		return nil
	}

	return f.decider.examineNow(ctx, rel)
}

// scanTree reads a folder and, if Config.Recursive, all folders below it, and visits everything
// that is not a folder. Entries are streamed: memory use does not depend on their number.
func (f *finder) scanTree(ctx context.Context, rel string, visit visitFunc) error {
	stack := []string{rel}
	for len(stack) > 0 {
		dir := stack[len(stack)-1]
		stack = stack[:len(stack)-1]

		subfolders, err := f.scanDir(ctx, dir, visit)
		switch {
		case err == nil:
			f.w.troubles.clear(dir)
		case dir == rel:
			return err
		default:
			f.handleScanError(ctx, dir, err)
		}
		stack = append(stack, subfolders...)
	}

	return ctx.Err()
}

// scanDir visits the entries of one folder and returns its subfolders.
func (f *finder) scanDir(ctx context.Context, dir string, visit visitFunc) (subfolders []string, err error) {
	if err := f.checkNotOwn(dir); err != nil {
		return nil, err
	}
	f.watchDir(dir)

	for e, err := range f.root.Entries(dir) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return subfolders, err
		}

		rel := e.Name()
		if dir != "" {
			rel = dir + "/" + rel
		}
		switch {
		case !e.IsDir():
			if err := visit(ctx, rel, e.Type()); err != nil {
				return subfolders, err
			}
		case f.shouldScan(ctx, rel):
			subfolders = append(subfolders, rel)
		}
	}

	return subfolders, nil
}

// watchDir subscribes to the events of a folder. This must happen before scanning it: a file that
// appears in between is then reported twice rather than never.
func (f *finder) watchDir(rel string) {
	if f.events == nil {
		return
	}
	err := f.events.Add(filepath.Join(f.root.Name(), filepath.FromSlash(rel)))
	if err == nil || rootfs.IsGone(err) || rel != "" && isFileFault(err) {
		return // the scan reports a folder that cannot be read
	}

	reason := "some folders are not watched, only scanned: " + err.Error()
	if rootfs.IsNoSpace(err) {
		reason = "some folders are not watched, only scanned: the limit of inotify watches is reached; raise it with " +
			"`sysctl fs.inotify.max_user_watches=1048576`"
	}
	f.w.health.set("watches", reason)
}

// checkNotOwn returns an error that matches guard.ErrOwn if a folder belongs to Backburn. Nothing
// in or below such a folder is taken.
func (f *finder) checkNotOwn(dir string) error {
	st, err := f.root.Lstat(dir)
	if err != nil {
		return err
	}

	return f.w.guard.File(st.Identity)
}

// shouldScan reports whether the folder rel is to be scanned.
func (f *finder) shouldScan(ctx context.Context, rel string) bool {
	switch {
	case !f.cfg.Recursive, rel == spool.Dir, f.exclude.Match(rel):
		return false
	case len(rel) > maxPath:
		f.reportTrouble(ctx, rel, tooLong, errPathTooLong)
		return false
	}

	return true
}

// handleScanError records why a subfolder cannot be scanned, and reports whether to try again.
func (f *finder) handleScanError(ctx context.Context, dir string, err error) (retry bool) {
	switch {
	case rootfs.IsGone(err), ctx.Err() != nil:
		return false
	case isMount(err):
		f.reportMount(dir)
		return false
	case errors.Is(err, guard.ErrOwn):
		f.reportOwnFile(ctx, dir, err)
		return false
	case rootfs.CauseOf(err) == rootfs.Outside: // replaced by a link
		return false
	}

	f.w.m.deferred["fault"].Inc()
	if isFileFault(err) {
		f.reportTrouble(ctx, dir, cannotScan, err)
		return false
	}
	f.reportFault(ctx, "scan", err)

	return true
}
