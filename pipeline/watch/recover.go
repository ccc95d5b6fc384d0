package watch

import (
	"context"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/spool"
)

// adoptAfter is how old a claimed file is that this watcher does not know when it takes
// care of it: whoever claimed it has had time enough, or is gone.
const adoptAfter = time.Minute

func (m *mover) recover(ctx context.Context, minAge time.Duration) error {
	before := m.w.inFlight.ids()
	there := map[string]struct{}{}
	var found []*claimedFile
	err := m.spool.Each(spool.Claimed, func(name string) bool {
		if id, base, whole, ok := spool.SplitName(name); ok {
			there[id] = struct{}{}
			if c := m.adopt(id, name, base, whole, minAge); c != nil {
				found = append(found, c)
			}
		}
		return true
	})
	if err != nil {
		return err
	}

	// What was claimed while the folder was read may not have been seen: only what was
	// known before, and is not there, is gone.
	for _, id := range before {
		if _, ok := there[id]; ok {
			continue
		}
		name := m.w.inFlight.name(id)
		if name == "" {
			continue
		}
		if _, err := m.spool.Lstat(spool.Claimed + "/" + name); rootfs.IsGone(err) {
			m.w.inFlight.finished(id)
		}
	}
	m.mu.Lock()
	found = append(found, m.renewed...)
	m.renewed = nil
	m.mu.Unlock()
	m.workers.Go(func() { m.resume(ctx, found) })

	return ctx.Err()
}

// adopt counts a claimed file, and returns it if it is to be published: unless it is known,
// or so young that another watcher may be about to.
func (m *mover) adopt(id, name, base string, whole bool, minAge time.Duration) *claimedFile {
	// An id of a time to come was made before the clock was set back.
	if time.Since(spool.IDTime(id)).Abs() < minAge || m.w.inFlight.has(id) {
		return nil
	}
	if !m.w.inFlight.add(id, name, spool.IDTime(id)) {
		return nil
	}

	return &claimedFile{id: id, name: name, rel: m.foundAt(id, base, whole)}
}

// foundAt is where a claimed file was found. Where that is lost, its contents must not be.
func (m *mover) foundAt(id, base string, whole bool) string {
	rel, err := m.spool.Paths.Found(id, base, whole)
	if err != nil {
		m.w.log.Error().Str("job", id).Err(err).Msg("the original folder of a claimed file is not recorded; its path is lost")
		return base
	}

	return rel
}

// resume publishes files that were found claimed.
func (m *mover) resume(ctx context.Context, found []*claimedFile) {
	for _, c := range found {
		if _, err := m.root.Lstat(c.rel); rootfs.IsGone(err) {
			m.takeBeside(ctx, c) // unless it belongs to a new file of the name
			m.dropDoneFile(ctx, c.rel)
		}
		if m.start(ctx, c) != nil {
			return
		}
	}
}

// start publishes a claimed file, when there is a place among those who work.
func (m *mover) start(ctx context.Context, c *claimedFile) error {
	if err := m.w.inFlight.enter(ctx); err != nil {
		return err
	}
	m.workers.Go(func() {
		defer m.w.inFlight.leave()
		m.finish(ctx, c)
	})

	return nil
}

func (m *mover) republish(ctx context.Context, ids []string) (n int, err error) {
	for _, id := range ids {
		name := m.w.inFlight.name(id)
		_, base, whole, ok := spool.SplitName(name)
		if !ok {
			continue // not one of these files
		}
		if !m.w.inFlight.unpublished(id) {
			continue // finished meanwhile
		}
		if err := m.start(ctx, &claimedFile{id: id, name: name, rel: m.foundAt(id, base, whole)}); err != nil {
			return n, err
		}
		n++
	}

	return n, nil
}
