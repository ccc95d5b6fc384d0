package watch

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"
)

// session is the work on one incarnation of the folder: from opening it to the end, or to
// the moment when the folder's name means another one.
type session struct {
	w      *Watcher
	ctx    context.Context // of the session; only for what its goroutines start in turn
	root   *root           // the watched folder
	spool  *root           // where the spool is: root, unless Config.StateDir says otherwise
	dev    uint64          // the folder's device
	claims identity        // of claimedDir
	prefix string          // root.path with a separator, which event names begin with
	remote bool            // the file system is; see fsInfo
	folder string          // the folder's own id

	events  *fsnotify.Watcher // nil in poll mode
	hints   *hints
	scans   *scans
	sync    *syncer
	hashers *hashers
	paths   *paths
	ledger  *ledger // nil unless needed

	stuck   atomic.Int64   // claimed files that can't be prepared for now
	workers sync.WaitGroup // those who take and publish files
	check   chan struct{}  // asks for a check of the folder
}

// watch works on the folder until ctx ends or the folder is not what it was.
func (w *Watcher) watch(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, spool, err := openFolder(w.path, w.cfg)
	if err != nil {
		return err
	}
	defer func() {
		if spool != r {
			spool.close()
		}
		r.close()
	}()
	s := &session{
		w: w, ctx: ctx, root: r, spool: spool, prefix: withSeparator(w.path),
		hints: newHints(), scans: newScans(), sync: newSyncer(r, func() { w.at("flushed") }), hashers: newHashers(), paths: newPaths(r),
		check: make(chan struct{}, 1),
	}
	if err := s.open(); err != nil {
		return err
	}
	defer s.close()
	return s.run(ctx)
}

// open prepares what the session needs besides the folder itself.
func (s *session) open() (err error) {
	info, err := s.root.statFS()
	if err != nil {
		return err
	}
	s.remote = info.remote
	st, err := s.root.stat()
	if err != nil {
		return err
	}
	s.dev = st.dev
	if st, err = s.spool.lstat(claimedDir); err != nil {
		return err
	}
	s.claims = st.identity
	if s.folder, err = folderID(s.spool); err != nil {
		return err
	}
	if s.ledger, err = openLedger(s.w.cfg, s.spool); err != nil {
		return err
	}
	s.w.flight.reset()
	s.w.health.set(StateOK, "")
	s.w.m.degraded.Set(0)
	s.openEvents(info)
	return nil
}

// openEvents subscribes to the folder's events, or settles for polling.
func (s *session) openEvents(info fsInfo) {
	mode := s.w.cfg.Watch
	if mode == WatchAuto {
		mode = WatchEvents
		if info.remote || !eventsByDefault {
			mode = WatchPoll
		}
	}
	if mode == WatchEvents {
		var err error
		if s.events, err = fsnotify.NewBufferedWatcher(eventSlots); err != nil {
			mode = WatchPoll
			s.part("events", "files are found by scans alone, events can't be had: "+err.Error()+
				"; if the limit of inotify instances is reached, raise it with `sysctl fs.inotify.max_user_instances=1024`")
		}
	}
	s.w.health.mu.Lock()
	s.w.health.mode = mode
	s.w.health.mu.Unlock()
}

func (s *session) close() {
	if s.events != nil {
		s.events.Close()
	}
	if s.ledger != nil {
		s.ledger.close()
	}
}

// run starts the parts of the session and waits for all of them.
func (s *session) run(ctx context.Context) error {
	stop := make(chan struct{})
	var last sync.WaitGroup // outlives the workers, who depend on it
	last.Go(func() { s.sync.run(stop) })
	defer last.Wait()
	defer close(stop)

	g, ctx := errgroup.WithContext(ctx)
	s.ctx = ctx
	defer s.workers.Wait()
	// The order matters: subscribe, count what is claimed already, and only then claim
	// and scan.
	s.watchDir("")
	if s.events != nil {
		g.Go(func() error { return s.follow(ctx) })
	}
	if err := s.recover(ctx, 0); err != nil {
		s.w.log.Debug().Err(err).Msg("recovery cut short")
		g.Go(func() error { return err })
	} else {
		g.Go(func() error { s.decide(ctx); return nil })
		g.Go(func() error { return s.scanLoop(ctx) })
		g.Go(func() error { return s.tend(ctx) })
		g.Go(func() error { return s.finishAll(ctx) })
	}
	return g.Wait()
}

// fault notes that something went wrong that is tried again.
func (s *session) fault(part string, err error) {
	if s.ctx.Err() == nil {
		s.part(part, part+": "+err.Error())
	}
}

// partKept is how long a fault is shown after it last occurred, where nothing says that it
// is over.
const partKept = 2 * retryMax

// part notes a fault in one part of the work, which leaves the rest going, or its end.
func (s *session) part(name, reason string) {
	if !s.w.health.part(name, reason) {
		return
	}
	if reason != "" {
		s.w.log.Warn().Str("part", name).Str("reason", reason).Msg("folder is degraded")
	} else {
		s.w.log.Info().Str("part", name).Msg("fault is over")
	}
}

// checkNow asks for a check of the folder before the next is due.
func (s *session) checkNow() {
	select {
	case s.check <- struct{}{}:
	default:
	}
}

// errReplaced says that the folder's name does not lead to what is watched any more.
var errReplaced = errors.New("the folder was removed, renamed, unmounted or mounted over")

// tend looks after everything that only changes with time: whether the folder is still the
// one that is watched, free space, what other watchers have claimed or finished, left-overs.
func (s *session) tend(ctx context.Context) error {
	tick := time.NewTicker(s.w.cfg.Scan)
	defer tick.Stop()
	janitor, anchored := newJanitor(s), s.w.clock()
	for {
		if now := s.w.clock(); now-anchored > max(s.w.cfg.Scan, 2*patient*s.w.cfg.Settle) {
			s.w.cautious.anchor(now)
			anchored = now
		}
		for _, name := range s.w.health.expire(max(partKept, 3*s.w.cfg.Scan)) {
			s.w.log.Info().Str("part", name).Msg("fault is over")
		}
		if err := s.stillThere(); err != nil {
			s.w.m.rebuilds.Inc()
			return err
		}
		s.checkSpace()
		if err := s.recover(ctx, adoptAfter); err != nil {
			return err
		}
		s.gauges()
		if err := janitor.run(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.check:
		}
	}
}

// stillThere reports whether the folder's name leads to what is held open, and the kernel
// still sends its events.
func (s *session) stillThere() error {
	held, err := s.root.stat()
	if err != nil {
		return err
	}
	now, err := statPath(s.root.path)
	if err != nil {
		return err
	}
	// The birth time is no part of this: a folder keeps it, and some file systems make it up.
	if held.dev != now.dev || held.ino != now.ino {
		return errReplaced
	}
	if spool, err := s.spool.lstat(claimedDir); err != nil || spool.dev != s.claims.dev || spool.ino != s.claims.ino {
		return fmt.Errorf("%s was removed or exchanged: %w", claimedDir, errReplaced)
	}
	if s.events != nil && !slices.Contains(s.events.WatchList(), s.root.path) && !s.scans.unwatched.Load() {
		return errReplaced
	}
	if s.events == nil && s.w.cfg.Watch != WatchPoll && !s.remote && eventsByDefault {
		if probe, err := fsnotify.NewWatcher(); err == nil {
			probe.Close()
			return errors.New("events can be had again")
		}
	}
	return nil
}

// checkSpace stops claiming while the disk is nearly full.
func (s *session) checkSpace() {
	info, err := s.root.statFS()
	if err != nil {
		return
	}
	s.w.m.free.Set(float64(info.free))
	reason := ""
	if info.full(s.w.cfg.MinFree) {
		// Without the number that is free, which changes all the time: it is in the metrics.
		reason = fmt.Sprintf("nothing is claimed: less than min_free (%d bytes) is free on the disk; free some", s.w.cfg.MinFree)
	}
	s.w.flight.block(reason)
	s.part("space", reason)
}

// gauges brings the metrics up to date that nobody else keeps so.
func (s *session) gauges() {
	n, oldest, held := s.w.flight.summary()
	s.w.m.inFlight.Set(float64(n))
	s.w.m.oldest.Set(0)
	if !oldest.IsZero() {
		s.w.m.oldest.Set(float64(oldest.UnixMilli()) / 1e3)
	}
	s.w.m.held.Set(0)
	if held != "" {
		s.w.m.held.Set(1)
	}
}

// withSeparator is what the names of everything in a folder begin with.
func withSeparator(dir string) string {
	if strings.HasSuffix(dir, string(filepath.Separator)) {
		return dir // the root of the file system
	}
	return dir + string(filepath.Separator)
}
