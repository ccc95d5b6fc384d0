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

// janitorEvery is the interval between two runs of the janitor.
const janitorEvery = 10 * time.Minute

// maintainer does the periodic work: it checks that the folder is still the one being watched,
// checks free space, takes over files that other watchers left, forgets those that others finished,
// and removes leftovers.
type maintainer struct {
	*folder
	events          *fsnotify.Watcher
	scans           *scans
	known           *knownFiles
	claimers        []claimer
	recheckRequests chan struct{} // requests a check before the next is due
	nextSweep       time.Time     // when the janitor runs next
}

func (t *maintainer) run(ctx context.Context) error {
	tick := time.NewTicker(t.cfg.Scan)
	defer tick.Stop()
	anchored := t.w.clock()
	for {
		if now := t.w.clock(); now-anchored > max(t.cfg.Scan, 2*settle.BlindFactor*t.cfg.Settle) {
			t.w.cautious.anchor(now)
			anchored = now
		}
		if err := t.runOnce(ctx); err != nil {
			return err
		}

		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-t.recheckRequests:
		}
	}
}

func (t *maintainer) runOnce(ctx context.Context) error {
	if err := t.checkFolder(); err != nil {
		t.w.m.rebuilds.Inc()
		return err
	}
	t.checkSpace()
	for _, c := range t.claimers {
		if err := c.recover(ctx, adoptAfter); err != nil {
			return err
		}
	}
	t.w.troubles.prune(func(rel string) bool {
		_, err := t.root.Lstat(rel)
		return rootfs.IsGone(err)
	})
	t.updateGauges()
	if err := t.known.maintain(); err != nil {
		return err
	}
	t.sweep(ctx)

	return nil
}

// errReplaced means that the folder's path no longer leads to the open folder.
var errReplaced = errors.New("the folder was removed, renamed, unmounted or mounted over")

// checkFolder returns an error unless the folder's path leads to the open folder and the kernel
// still sends its events.
func (t *maintainer) checkFolder() error {
	open, err := t.root.Stat()
	if err != nil {
		return err
	}
	now, err := rootfs.StatPath(t.root.Name())
	if err != nil {
		return err
	}
	// Do not compare birth times: some file systems make them up.
	if open.Dev != now.Dev || open.Ino != now.Ino {
		return errReplaced
	}

	claimed, err := t.stateRoot.Lstat(spool.Dir + "/" + spool.Claimed)
	if err != nil || claimed.Dev != t.claimedDir.Dev || claimed.Ino != t.claimedDir.Ino {
		return fmt.Errorf("%s/%s was removed or replaced: %w", spool.Dir, spool.Claimed, errReplaced)
	}

	if t.events != nil && !slices.Contains(t.events.WatchList(), t.root.Name()) && !t.scans.unwatched.Load() {
		return errReplaced
	}
	if t.events == nil && t.cfg.Watch != WatchPoll && !t.remote && eventsByDefault {
		if probe, err := fsnotify.NewWatcher(); err == nil {
			probe.Close()
			return errors.New("events are available again")
		}
	}

	return nil
}

// checkSpace stops claiming while the disk is almost full.
func (t *maintainer) checkSpace() {
	info, err := t.root.FileSystem()
	if err != nil {
		return
	}

	t.w.m.free.Set(float64(info.Free))
	reason := ""
	if info.Full(t.cfg.MinFree) {
		// Leave out the current free space, which changes all the time: it is in the metrics.
		reason = fmt.Sprintf("no files are claimed: less than min_free (%d bytes) is free on the disk; free some space", t.cfg.MinFree)
	}
	t.w.inFlight.block(reason)
	t.w.health.set("space", reason)
}

// updateGauges updates the metrics that no other part updates.
func (t *maintainer) updateGauges() {
	n, oldest, blocked := t.w.inFlight.summary()
	t.w.m.inFlight.Set(float64(n))
	t.w.m.oldest.Set(0)
	if !oldest.IsZero() {
		t.w.m.oldest.Set(float64(oldest.UnixMilli()) / 1e3)
	}
	t.w.m.held.Set(0)
	if blocked != "" {
		t.w.m.held.Set(1)
	}
}

// sweep removes leftovers of crashes and other useless data: partly written files, and objects
// whose file is no longer claimed. The next run retries what failed.
func (t *maintainer) sweep(ctx context.Context) {
	if time.Now().Before(t.nextSweep) {
		return
	}

	err := t.spool.Sweep(func(dir string) bool {
		_, err := t.root.Lstat(dir)
		return rootfs.IsGone(err)
	})
	err = errors.Join(err, sweepCopies(t.cfg.After))
	if t.cfg.Transfer == TransferObject {
		err = errors.Join(err, t.sweepObjects(ctx))
	}
	if err != nil {
		t.reportFault(ctx, "janitor", err)
		return
	}
	t.nextSweep = time.Now().Add(janitorEvery)
	t.w.health.set("janitor", "")
}

// sweepObjects removes objects whose file was finished just before a crash.
func (t *maintainer) sweepObjects(ctx context.Context) error {
	prefix := t.objectPrefix()
	objects, err := t.w.objects.List(ctx, prefix)
	if err != nil {
		return err
	}

	for _, o := range objects {
		id := o.Name[min(len(prefix), len(o.Name)):]
		if !spool.ValidID(id) || time.Since(o.ModTime) < spool.LeftoverAge || t.w.inFlight.has(id) {
			continue
		}
		if err := t.w.objects.Delete(ctx, o.Name); err != nil {
			return err
		}
	}

	return nil
}
