package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/settle"
	"backburn/pipeline/watch/spool"
)

// janitorEvery is the interval between two runs of the janitor, which is the method sweep.
const janitorEvery = 10 * time.Minute

// maintainer does the periodic work: it checks that the folder is still the one being watched,
// checks free space, takes over files that other watchers left, forgets those that others finished,
// and removes leftovers.
type maintainer struct {
	*folder
	events          *fsnotify.Watcher
	known           *knownFiles
	claimers        []claimer
	recheckRequests chan struct{} // a value requests a check before the next is due
	nextSweep       time.Time     // when the janitor runs next
}

func (m *maintainer) run(ctx context.Context) error {
	tick := time.NewTicker(m.cfg.Scan)
	defer tick.Stop()
	anchored := m.w.clock()
	for {
		if now := m.w.clock(); now-anchored > max(m.cfg.Scan, 2*settle.BlindFactor*m.cfg.Settle) {
			m.w.cautious.anchor(now)
			anchored = now
		}
		if err := m.runOnce(ctx); err != nil {
			return err
		}

		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-m.recheckRequests:
		}
	}
}

func (m *maintainer) runOnce(ctx context.Context) error {
	if err := m.checkFolder(); err != nil {
		m.w.m.rebuilds.Inc()
		return err
	}
	m.checkSpace()
	for _, c := range m.claimers {
		if err := c.recover(ctx, adoptAfter); err != nil {
			return err
		}
	}
	m.w.troubles.prune(func(rel string) bool {
		_, err := m.root.Lstat(rel)
		return rootfs.IsGone(err)
	})
	m.updateGauges()
	if err := m.known.maintain(ctx); err != nil {
		return err
	}
	m.sweep(ctx)

	return nil
}

// errReplaced means that the folder has to be opened again: its path no longer leads to the open
// folder, or the kernel no longer sends the folder's events.
var errReplaced = errors.New("the folder was removed, renamed, unmounted or mounted over")

// checkFolder returns an error if the folder has to be opened again: its path leads to another
// folder, spool.Claimed was replaced, the kernel no longer sends the folder's events, or events
// have become available.
func (m *maintainer) checkFolder() error {
	open, err := m.root.Stat()
	if err != nil {
		return err
	}
	now, err := rootfs.StatPath(m.root.Name())
	if err != nil {
		return err
	}
	// Do not compare birth times: some file systems make them up.
	if open.Dev != now.Dev || open.Ino != now.Ino {
		return errReplaced
	}

	claimed, err := m.stateRoot.Lstat(spool.Dir + "/" + spool.Claimed)
	if err != nil || claimed.Dev != m.claimedDir.Dev || claimed.Ino != m.claimedDir.Ino {
		return fmt.Errorf("%s/%s was removed or replaced", spool.Dir, spool.Claimed)
	}

	if m.events != nil && !slices.Contains(m.events.WatchList(), m.root.Name()) && !m.w.health.recurs("watches") {
		return errReplaced
	}
	if m.events == nil && m.cfg.Watch != WatchPoll && !m.remote && eventsByDefault {
		if probe, err := fsnotify.NewWatcher(); err == nil {
			probe.Close()
			return errors.New("events are available again")
		}
	}

	return nil
}

// checkSpace stops claiming while the disk is almost full.
func (m *maintainer) checkSpace() {
	info, err := m.root.FileSystem()
	if err != nil {
		return
	}

	m.w.m.free.Set(float64(info.Free))
	reason := ""
	if info.Full(m.cfg.MinFree) {
		// Leave out the current free space, which changes all the time: it is in the metrics.
		reason = fmt.Sprintf("no files are claimed: less than min_free (%d bytes) is free on the disk; free some space", m.cfg.MinFree)
	}
	m.w.inFlight.block(reason)
	m.w.health.set("space", reason)
}

// updateGauges updates the metrics that no other part updates.
func (m *maintainer) updateGauges() {
	n, oldest, blocked := m.w.inFlight.summary()
	m.w.m.inFlight.Set(float64(n))
	m.w.m.oldest.Set(0)
	if !oldest.IsZero() {
		m.w.m.oldest.Set(float64(oldest.UnixMilli()) / 1e3)
	}
	m.w.m.held.Set(0)
	if blocked != "" {
		m.w.m.held.Set(1)
	}
}

// sweep removes leftovers of crashes and other useless data, such as partly written files, and
// objects whose file is no longer claimed. The next run retries what failed.
func (m *maintainer) sweep(ctx context.Context) {
	if time.Now().Before(m.nextSweep) {
		return
	}

	err := m.spool.Sweep(func(dir string) bool {
		_, err := m.root.Lstat(dir)
		return rootfs.IsGone(err)
	})
	err = errors.Join(err, sweepCopies(m.cfg.After))
	if m.cfg.Transfer == TransferObject {
		err = errors.Join(err, m.sweepObjects(ctx))
	}
	if err != nil {
		m.reportFault(ctx, "janitor", err)
		return
	}
	m.nextSweep = time.Now().Add(janitorEvery)
	m.w.health.set("janitor", "")
}

// sweepObjects removes objects whose file was finished just before a crash.
func (m *maintainer) sweepObjects(ctx context.Context) error {
	prefix := m.objectPrefix()
	objects, err := m.w.objects.List(ctx, prefix)
	if err != nil {
		return err
	}

	for _, o := range objects {
		id := o.Name[min(len(prefix), len(o.Name)):]
		if !spool.ValidID(id) || time.Since(o.ModTime) < spool.LeftoverAge || m.w.inFlight.has(id) {
			continue
		}
		if err := m.w.objects.Delete(ctx, o.Name); err != nil {
			return err
		}
	}

	return nil
}
