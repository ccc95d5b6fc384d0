package watch

import (
	"context"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/spool"
)

// adoptAfter is the age at which this watcher adopts a claimed file that it does not know. By then
// the watcher that claimed it has published it, is gone, or cannot publish. If that watcher is
// still trying, both may publish the file, which is harmless.
const adoptAfter = time.Minute

func (m *mover) recover(ctx context.Context, minAge time.Duration) error {
	missing := m.w.inFlight.names()
	var found []*claimedFile
	err := m.spool.Each(spool.Claimed, func(name string) bool {
		if id, base, whole, ok := spool.SplitName(name); ok {
			delete(missing, id)
			if c := m.adopt(id, name, base, whole, minAge); c != nil {
				found = append(found, c)
			}
		}
		return true
	})
	if err != nil {
		return err
	}

	// A file claimed while the folder was being read may have been missed. So only files that were
	// known before and are missing now count as gone.
	for id, name := range missing {
		if _, err := m.spool.Lstat(spool.Claimed + "/" + name); rootfs.IsGone(err) {
			m.w.inFlight.remove(id)
		}
	}
	found = append(found, m.takeResubmitted()...)
	m.tasks.Go(func() { m.resume(ctx, found) })

	return ctx.Err()
}

// adopt adds a claimed file to those in flight, and returns it for publication. It returns nil if
// the file is known already, or so young that another watcher may be about to publish it.
func (m *mover) adopt(id, name, base string, whole bool, minAge time.Duration) *claimedFile {
	// The ID is in the future if the clock has been set back.
	if time.Since(spool.IDTime(id)).Abs() < minAge || m.w.inFlight.has(id) {
		return nil
	}
	if !m.w.inFlight.add(id, name, spool.IDTime(id)) {
		return nil
	}

	return &claimedFile{id: id, name: name, rel: m.originalPath(id, base, whole), maybePublished: true}
}

// resume publishes recovered files.
func (m *mover) resume(ctx context.Context, found []*claimedFile) {
	for _, c := range found {
		if _, err := m.root.Lstat(c.rel); rootfs.IsGone(err) {
			// No new file has this name, so its description and done file probably belong to c.
			m.takeDescription(ctx, c)
			m.removeDoneFile(ctx, c.rel)
		}
		if m.start(ctx, c) != nil {
			return
		}
	}
}

// start starts to publish a claimed file, as soon as inFlight allows it.
func (m *mover) start(ctx context.Context, c *claimedFile) error {
	if err := m.w.inFlight.beginPublishing(ctx); err != nil {
		return err
	}
	m.tasks.Go(func() {
		defer m.w.inFlight.endPublishing()
		m.publishClaimed(ctx, c)
	})

	return nil
}

func (m *mover) republish(ctx context.Context, ids []string) (n int, err error) {
	for _, id := range ids {
		name := m.w.inFlight.name(id)
		_, base, whole, ok := spool.SplitName(name)
		if !ok {
			continue // not a file of this claimer
		}
		if !m.w.inFlight.markUnpublished(id) {
			continue // finished in the meantime
		}
		if err := m.start(ctx, &claimedFile{id: id, name: name, rel: m.originalPath(id, base, whole), maybePublished: true}); err != nil {
			return n, err
		}
		n++
	}

	return n, nil
}
