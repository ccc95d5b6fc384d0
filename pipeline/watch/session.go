package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"

	"backburn/pipeline"
	"backburn/pipeline/watch/settle"
	"backburn/pipeline/watch/spool"
	"backburn/results"
)

// followRetryDelay is the delay before outcomes are followed again after a fault.
const followRetryDelay = time.Second

// session is the work on one open folder: from opening it until ctx ends, or until the folder has
// to be opened again. It only wires the parts.
type session struct {
	*folder
	events       *fsnotify.Watcher // nil in poll mode
	known        *knownFiles
	claimSyncer  *syncer
	finishSyncer *syncer
	mover        *mover // nil if the spool is outside the folder
	claimers     []claimer
	finder       *finder
	decider      *decider
	maintainer   *maintainer
	tasks        sync.WaitGroup // goroutines that take and publish files
}

// watch works on the folder until ctx ends. It returns early with an error that says why the folder
// has to be opened again.
func (w *Watcher) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	f, err := openFolder(w)
	if err != nil {
		return err
	}
	defer f.close()

	hashers := newHashers(w.guard, w.log, func() { w.notifyStep("hashed") })
	known, err := openKnownFiles(f, hashers)
	if err != nil {
		return err
	}
	defer known.close()

	w.inFlight.reset()
	w.health.folder.OK()

	s := &session{folder: f, known: known}
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
			s.w.health.set("events", "files are found only by scans, events are not available: "+err.Error()+
				"; if the limit of inotify instances is reached, raise it with `sysctl fs.inotify.max_user_instances=1024`")
		}
	}
	s.w.health.mode.Store(mode)
}

// wire creates the parts of the session and connects them: those that others need come first. It is
// long, and does nothing else.
func (s *session) wire(hashers *hashers) {
	hints, scans := newHints(), newScans()
	recheckRequests := make(chan struct{}, 1)
	recheck := func() { signal(recheckRequests) }
	doneFile := settle.CompileDoneFile(s.cfg.DoneFile)
	exclude := settle.CompileGlobs(s.cfg.Exclude, false)

	s.claimSyncer = newSyncer(s.folder, func() { s.w.notifyStep("flushed") })
	s.finishSyncer = newSyncer(s.folder, func() {})
	if s.spoolInside {
		f := &finisher{
			folder:  s.folder,
			known:   s.known,
			hashers: hashers,
			syncer:  s.finishSyncer,
			copies:  newCopies(s.spool.Root, s.cfg.MinFree, s.w.inFlight.has),
			hints:   hints,
			recheck: recheck,
		}
		s.mover = &mover{finisher: f, claimSyncer: s.claimSyncer, doneFile: doneFile, tasks: &s.tasks}
		s.claimers = append(s.claimers, s.mover)
	}
	var activeClaimer claimer = s.mover
	if s.known.ledger != nil {
		k := &keeper{folder: s.folder, known: s.known, claimSyncer: s.claimSyncer}
		s.claimers = append(s.claimers, k)
		if s.cfg.Claim == ClaimKeep {
			activeClaimer = k
		}
	}

	op := &opener{
		folder:  s.folder,
		claimer: activeClaimer,
		rules: settle.Rules{
			Settle:       s.cfg.Settle,
			StaleAfter:   s.cfg.StaleAfter,
			Remote:       s.remote,
			Temporary:    settle.CompileGlobs(s.cfg.Defer, true),
			Done:         doneFile,
			Descriptions: s.descriptionKind(),
		},
	}
	s.decider = &decider{
		opener:  op,
		hints:   hints,
		scans:   scans,
		known:   s.known,
		exclude: exclude,
		tasks:   &s.tasks,
	}
	s.finder = &finder{
		folder:   s.folder,
		events:   s.events,
		hints:    hints,
		scans:    scans,
		exclude:  exclude,
		doneFile: doneFile,
		known:    s.known,
		decider:  s.decider,
		recheck:  recheck,
	}
	s.maintainer = &maintainer{
		folder:          s.folder,
		events:          s.events,
		known:           s.known,
		claimers:        s.claimers,
		recheckRequests: recheckRequests,
	}
}

// run starts the parts of the session and waits for all of them.
func (s *session) run(ctx context.Context) error {
	stop := make(chan struct{})
	var syncers sync.WaitGroup // they outlive the tasks, which need them
	syncers.Go(func() { s.claimSyncer.run(stop) })
	syncers.Go(func() { s.finishSyncer.run(stop) })
	defer syncers.Wait()
	defer close(stop)

	g, ctx := errgroup.WithContext(ctx)
	defer s.tasks.Wait()

	// The order matters: subscribe to events, add the claimed files to those in flight and check
	// the free space, and only then claim and scan.
	s.finder.watchDir("")
	if s.events != nil {
		g.Go(func() error { return s.finder.follow(ctx) })
	}
	for _, c := range s.claimers {
		if err := c.recover(ctx, 0); err != nil {
			s.w.log.Debug().Err(err).Msg("recovery was interrupted")
			g.Go(func() error { return err })
			return g.Wait()
		}
	}
	s.maintainer.checkSpace()
	g.Go(func() error { s.decider.run(ctx); return nil })
	g.Go(func() error { return s.finder.run(ctx) })
	g.Go(func() error { return s.maintainer.run(ctx) })
	g.Go(func() error { s.followOutcomes(ctx); return nil })
	if s.w.catalog != nil {
		r := &reconciler{folder: s.folder, claimers: s.claimers}
		g.Go(func() error { r.run(ctx); return nil })
	}

	return g.Wait()
}

// followOutcomes handles the final events of jobs until ctx ends.
func (s *session) followOutcomes(ctx context.Context) {
	for {
		err := s.w.outcomes.Follow(ctx, s.cfg.Source, s.id, s.handleEvent)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("the subscription to events ended")
		}
		s.w.health.set("outcomes", "final events cannot be read, so files stay claimed after their jobs have ended: "+err.Error())
		if pipeline.Sleep(ctx, followRetryDelay) != nil {
			return
		}
	}
}

// handleEvent disposes of the file of a final event as configured. It returns nil when that is
// durable, or when there is nothing to do: the file belongs to another watcher, or is finished
// already. It may be called again for the same event, wherever an earlier call was interrupted.
func (s *session) handleEvent(ctx context.Context, e results.Event) error {
	s.w.health.set("outcomes", "")
	id := e.Data.JobID
	if !e.Type.Final() || !spool.ValidID(id) {
		return nil // a non-final event, or a job of another publisher
	}

	err := s.handleFinal(ctx, id, e)
	switch {
	case err == nil:
		s.w.health.set("after", "")
	case errors.Is(err, errAfterFolder) || !isFileFault(err) && !errors.Is(err, errUnsettled):
		s.reportFault(ctx, "after", err)
	default:
		s.reportTrouble(ctx, spool.JobPath(cmp.Or(s.w.inFlight.name(id), id)), cannotFinish, err)
	}

	return err
}

func (s *session) handleFinal(ctx context.Context, id string, e results.Event) error {
	for _, c := range s.claimers {
		if err := c.handleFinal(ctx, id, e); err != nil {
			return err
		}
	}
	if s.cfg.Transfer == TransferObject {
		if err := s.w.objects.Delete(ctx, s.objectName(id)); err != nil {
			return fmt.Errorf("remove stored contents: %w", err)
		}
	}
	s.w.inFlight.remove(id)

	return nil
}
