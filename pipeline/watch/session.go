package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"

	"backburn/pipeline/watch/settle"
	"backburn/pipeline/watch/spool"
	"backburn/results"
)

// followAgain is how long to wait before following outcomes again after a fault.
const followAgain = time.Second

// session is the work on one incarnation of the folder: from opening it to the end, or to
// the moment when the folder's name means another one. It only wires the parts.
type session struct {
	*folder
	events   *fsnotify.Watcher // nil in poll mode
	memory   *memory
	claims   *syncer
	ends     *syncer
	mover    *mover // nil where the spool is elsewhere
	claimers []claimer
	finder   *finder
	decider  *decider
	tender   *tender
	workers  workers
}

// watch works on the folder until ctx ends or the folder is not what it was.
func (w *Watcher) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	f, err := openFolder(w)
	if err != nil {
		return err
	}
	defer f.close()
	hashers := newHashers(w.guard, w.log, func() { w.at("hashed") })
	m, err := openMemory(f, hashers)
	if err != nil {
		return err
	}
	defer m.close()

	w.inFlight.reset()
	w.health.opened()
	s := &session{folder: f, memory: m}
	s.openEvents()
	if s.events != nil {
		defer s.events.Close()
	}
	s.wire(hashers)

	return s.run(ctx)
}

// openEvents subscribes to the folder's events, or falls back to polling.
func (s *session) openEvents() {
	mode := s.cfg.Watch
	if mode == WatchAuto {
		mode = WatchEvents
		if s.remote || !eventsByDefault {
			mode = WatchPoll
		}
	}
	if mode == WatchEvents {
		var err error
		if s.events, err = fsnotify.NewBufferedWatcher(eventSlots); err != nil {
			s.events = nil
			mode = WatchPoll
			s.part("events", "files are found by scans alone, events cannot be had: "+err.Error()+
				"; if the limit of inotify instances is reached, raise it with `sysctl fs.inotify.max_user_instances=1024`")
		}
	}
	s.w.health.mode.Store(mode)
}

// wire makes the parts of the session and connects them.
func (s *session) wire(hashers *hashers) {
	hints, scans := newHints(), newScans()
	check := make(chan struct{}, 1)
	recheck := func() {
		select {
		case check <- struct{}{}:
		default:
		}
	}
	done := settle.CompileDoneFile(s.cfg.DoneFile)
	exclude := settle.CompileGlobs(s.cfg.Exclude, false)

	s.claims = newSyncer(s.folder, func() { s.at("flushed") })
	s.ends = newSyncer(s.folder, func() {})
	if s.inside {
		s.mover = &mover{
			folder:  s.folder,
			memory:  s.memory,
			hashers: hashers,
			sync:    s.claims,
			ends:    s.ends,
			copies:  newCopies(s.spool.Root, s.cfg.MinFree),
			hints:   hints,
			done:    done,
			recheck: recheck,
		}
		s.claimers = append(s.claimers, s.mover)
	}
	var taking claimer = s.mover
	if s.memory.ledger != nil {
		k := &keeper{folder: s.folder, memory: s.memory, sync: s.claims}
		s.claimers = append(s.claimers, k)
		if s.cfg.Claim == ClaimKeep {
			taking = k
		}
	}

	t := &opener{
		folder:  s.folder,
		claimer: taking,
		rules: settle.Rules{
			Settle:     s.cfg.Settle,
			StaleAfter: s.cfg.StaleAfter,
			Remote:     s.remote,
			Temporary:  settle.CompileGlobs(s.cfg.Defer, true),
			Done:       done,
			Describes:  s.describes,
		},
	}
	s.decider = &decider{
		opener:  t,
		hints:   hints,
		scans:   scans,
		memory:  s.memory,
		exclude: exclude,
		workers: &s.workers,
	}
	s.finder = &finder{
		folder:  s.folder,
		events:  s.events,
		hints:   hints,
		scans:   scans,
		exclude: exclude,
		done:    done,
		memory:  s.memory,
		decider: s.decider,
		prefix:  withSeparator(s.root.Name()),
		recheck: recheck,
	}
	s.tender = &tender{
		folder:   s.folder,
		events:   s.events,
		scans:    scans,
		memory:   s.memory,
		claimers: s.claimers,
		check:    check,
	}
}

// run starts the parts of the session and waits for all of them.
func (s *session) run(ctx context.Context) error {
	stop := make(chan struct{})
	var last sync.WaitGroup // outlives the workers, who depend on it
	last.Go(func() { s.claims.run(stop) })
	last.Go(func() { s.ends.run(stop) })
	defer last.Wait()
	defer close(stop)

	g, ctx := errgroup.WithContext(ctx)
	if s.mover != nil {
		defer s.mover.workers.Wait()
	}
	defer s.workers.Wait()

	// The order matters: subscribe, count what is claimed already, and only then claim
	// and scan.
	s.finder.watchDir("")
	if s.events != nil {
		g.Go(func() error { return s.finder.follow(ctx) })
	}
	if err := s.recoverAll(ctx); err != nil {
		s.w.log.Debug().Err(err).Msg("recovery was interrupted")
		g.Go(func() error { return err })
		return g.Wait()
	}
	g.Go(func() error { s.decider.run(ctx); return nil })
	g.Go(func() error { return s.finder.run(ctx) })
	g.Go(func() error { return s.tender.run(ctx) })
	g.Go(func() error { s.finishAll(ctx); return nil })
	if s.w.catalog != nil {
		r := &reconciler{folder: s.folder, claimers: s.claimers}
		g.Go(func() error { r.run(ctx); return nil })
	}

	return g.Wait()
}

func (s *session) recoverAll(ctx context.Context) error {
	for _, c := range s.claimers {
		if err := c.recover(ctx, 0); err != nil {
			return err
		}
	}

	return nil
}

// finishAll deals with files whose jobs have ended, until ctx ends.
func (s *session) finishAll(ctx context.Context) {
	for {
		err := s.w.outcomes.Follow(ctx, s.cfg.Source, s.id, s.handle)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("the events ended")
		}
		s.part("outcomes", "final events cannot be read, finished files stay in "+spool.Dir+"/"+spool.Claimed+": "+err.Error())
		if sleep(ctx, followAgain) != nil {
			return
		}
	}
}

// handle does what is configured with the file of a final event. It returns nil when that is
// durable, or there is nothing to do: the file is another watcher's, or was dealt with
// before. It is safe to repeat at any point.
func (s *session) handle(ctx context.Context, e results.Event) error {
	s.part("outcomes", "")
	id := e.Data.JobID
	if !e.Type.Final() || !spool.ValidID(id) {
		return nil // news of a job under way, or another publisher's
	}

	err := s.conclude(ctx, id, e)
	switch {
	case err == nil:
		s.part("after", "")
	case errors.Is(err, errAfterFolder) || !fileFault(err) && !errors.Is(err, errUnsettled):
		s.fault(ctx, "after", err)
	default:
		s.troubled(ctx, spool.JobPath(cmp.Or(s.w.inFlight.name(id), id)), cannotEnd, err)
	}

	return err
}

func (s *session) conclude(ctx context.Context, id string, e results.Event) error {
	for _, c := range s.claimers {
		if err := c.conclude(ctx, id, e); err != nil {
			return err
		}
	}
	if s.cfg.Transfer == TransferObject {
		if err := s.w.objects.Delete(ctx, s.objectName(id)); err != nil {
			return fmt.Errorf("remove stored contents: %w", err)
		}
	}
	s.w.inFlight.finished(id)

	return nil
}

// withSeparator is what the names of everything in a folder begin with.
func withSeparator(dir string) string {
	if strings.HasSuffix(dir, string(filepath.Separator)) {
		return dir // the root of the file system
	}

	return dir + string(filepath.Separator)
}
