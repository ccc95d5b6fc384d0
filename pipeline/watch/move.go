package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"backburn/internal/backoff"
	"backburn/internal/rootfs"
	"backburn/pipeline"
	"backburn/pipeline/watch/settle"
	"backburn/pipeline/watch/spool"
)

// mover claims files by renaming them into the spool. It takes files if claim = "move", and
// otherwise finishes those taken earlier.
type mover struct {
	*finisher
	claimSyncer *syncer
	doneFile    *settle.DoneFile // nil without one
	tasks       *sync.WaitGroup  // goroutines that publish recovered files

	unprepared atomic.Int64 // claimed files that cannot be prepared at present because of a fault that is not theirs
}

func (m *mover) take(ctx context.Context, rel string, f *rootfs.File, st rootfs.State, report func(settle.Outcome)) {
	if o := m.known.checkContents(ctx, rel, f, st); o != settle.Take {
		f.Close()
		m.w.inFlight.cancelReservation()
		report(o)
		return
	}

	c, o := m.claim(ctx, rel, f, st)
	report(o)
	if c == nil {
		m.w.inFlight.cancelReservation()
		return
	}
	m.publishClaimed(ctx, c)
}

// claim renames a file into the spool under a new ID. It returns nil if the file was not claimed.
func (m *mover) claim(ctx context.Context, rel string, f *rootfs.File, st rootfs.State) (*claimedFile, settle.Outcome) {
	tag, err := m.spool.Paths.Tag(path.Dir(rel))
	if err != nil {
		f.Close()
		m.reportFault(ctx, "claim", err)
		return nil, settle.Failed
	}

	c := &claimedFile{id: spool.NewID(time.Now(), tag), rel: rel, f: f}
	if rootfs.ClosesBeforeRename {
		c.close()
	}
	if c.name, err = m.spool.Claim(m.root, rel, c.id); err != nil {
		c.close()
		return nil, m.claimErrorOutcome(ctx, rel, err)
	}
	m.w.notifyStep("claimed")

	// Look the claimed file up by its path, as a worker will: the spool may have been replaced.
	now, err := m.root.Lstat(spool.JobPath(c.name))
	if (rootfs.IsGone(err) || err == nil && !now.Regular) && m.undoClaim(c) {
		return nil, settle.Failed
	}

	m.w.inFlight.addClaimed(c.id, c.name, spool.IDTime(c.id))
	m.w.claims.Add(1)
	m.w.m.claimed.Inc()
	m.w.troubles.clear(rel)
	m.w.health.set("claim", "")
	m.takeDescription(ctx, c)
	m.removeDoneFile(ctx, rel)
	// The name may have been given to another file since f was opened, or the file may have
	// changed. In either case the claimed file must be judged again.
	same := err == nil && now.Identity == st.Identity
	if !same {
		c.close()
	}
	c.settled = same && now.Size == st.Size && now.Mtime == st.Mtime

	return c, settle.Forget
}

// takeDescription moves a claimed file's description into the spool. It stays there until the file
// is finished, because the job may have to be published again.
func (m *mover) takeDescription(ctx context.Context, c *claimedFile) {
	name := m.findDescription(ctx, c.rel)
	if name == "" {
		return
	}
	err := m.spool.TakeDescription(m.root, name, c.id)
	switch {
	case err == nil, rootfs.IsGone(err), errors.Is(err, fs.ErrExist):
		m.w.health.set("metadata", "")
		m.w.troubles.clear(name)
	default:
		m.reportError(ctx, name, cannotClaim, "metadata", fmt.Errorf("move the metadata of a file into the spool: %w", err))
	}
}

// claimErrorOutcome returns the outcome for a file that could not be claimed.
func (m *mover) claimErrorOutcome(ctx context.Context, rel string, err error) settle.Outcome {
	switch {
	case rootfs.IsGone(err): // deleted, or claimed by another watcher
		return settle.Forget
	case isMount(err):
		m.reportMount(rel)
		return settle.Forget
	}
	if isFileFault(err) {
		m.w.m.deferred["immovable"].Inc()
	}
	m.reportError(ctx, rel, cannotClaim, "claim", err)

	return settle.Failed
}

// undoClaim undoes a claim that went wrong, for example because the spool was moved or a folder
// replaced the file at that moment. It moves the entry back to its old path, to be judged again.
func (m *mover) undoClaim(c *claimedFile) bool {
	if rootfs.Move(m.spool.Root, c.path(), m.root, c.rel) != nil {
		return false
	}
	c.close()
	_ = m.spool.Paths.Remove(c.id) // if this fails, a small file stays behind
	m.recheck()

	return true
}

// removeDoneFile removes the done file of a claimed file.
func (m *mover) removeDoneFile(ctx context.Context, rel string) {
	if m.doneFile == nil || m.doneFile.Shared() {
		return
	}
	name := m.doneFile.NameFor(rel)
	switch err := m.root.Remove(name); {
	case err == nil, rootfs.IsGone(err):
		m.w.troubles.clear(name)
	default:
		m.reportTrouble(ctx, name, cannotClaim, err)
	}
}

// publishClaimed prepares and publishes a claimed file, however long that takes. Between two
// attempts to prepare it, the file does not count as being published, so that others can be
// published.
func (m *mover) publishClaimed(ctx context.Context, c *claimedFile) {
	unprepared := false
	defer func() {
		if unprepared && m.unprepared.Add(-1) == 0 {
			m.w.health.set("prepare", "")
		}
	}()

	for try := 0; ; try++ {
		job, err := m.prepareJob(ctx, c)
		c.close()
		if err == nil {
			m.w.troubles.clear(spool.JobPath(c.name))
			if err = m.publish(ctx, job); err == nil {
				m.w.inFlight.markPublished(c.id)
				m.w.m.latency.Observe(time.Since(spool.IDTime(c.id)).Seconds())
				m.w.notifyStep("published")
			}
			return // published, or ctx ended
		}
		if ctx.Err() != nil || m.forgetIfGone(c, err) || m.setAside(ctx, c, err) {
			return
		}

		wait := backoff.Doubled(try, settle.RetryMin, settle.RetryMax)
		if errors.Is(err, errUnsettled) {
			m.w.m.deferred["writer"].Inc()
			wait = max(m.cfg.Settle, 50*time.Millisecond)
		} else {
			if !isFileFault(err) && !unprepared {
				unprepared = true
				m.unprepared.Add(1)
			}
			m.reportError(ctx, spool.JobPath(c.name), cannotOpen, "prepare", err)
		}

		m.w.inFlight.endPublishing()
		sleepErr := pipeline.Sleep(ctx, wait)
		_ = m.w.inFlight.beginPublishing(context.WithoutCancel(ctx)) // the caller ends it
		if sleepErr != nil {
			return
		}
	}
}

// forgetIfGone forgets a claimed file that no longer exists: another watcher has finished it, or
// somebody has removed it. It reports whether it did.
func (m *mover) forgetIfGone(c *claimedFile, err error) bool {
	if !rootfs.IsGone(err) {
		return false
	}
	if _, err := m.spool.Lstat(c.path()); !rootfs.IsGone(err) {
		return false
	}
	m.w.log.Debug().Str("job", c.id).Msg("claimed file is gone")
	m.w.inFlight.remove(c.id)
	m.w.troubles.clear(spool.JobPath(c.name))

	return true
}

// setAside handles an entry that replaced a file just before the claim and is not a regular file.
// It moves the entry to done/special for inspection, and counts it as skipped.
func (m *mover) setAside(ctx context.Context, c *claimedFile, err error) bool {
	if cause := rootfs.CauseOf(err); cause != rootfs.Special && cause != rootfs.Outside {
		return false
	}

	const dir = spool.Done + "/special"
	err = m.spool.MkdirAll(dir, 0o700)
	if err == nil {
		err = rootfs.Move(m.spool.Root, c.path(), m.spool.Root, dir+"/"+c.name)
	}
	if err != nil {
		m.reportFault(ctx, "prepare", err)
		return false
	}
	m.w.m.skipped["special"].Inc()
	m.w.log.Warn().Str("job", c.id).Str("path", c.rel).Msg("a file was replaced by something else while it was being claimed; the replacement is now in done/special")
	m.w.inFlight.remove(c.id)

	return true
}

// prepareJob hashes a claimed file, makes it durable, and returns its job. It hashes before the
// sync: unless contents go to the object store, nothing slow remains between the sync and the
// publication.
func (m *mover) prepareJob(ctx context.Context, c *claimedFile) (pipeline.Job, error) {
	if err := m.reopen(c); err != nil {
		return pipeline.Job{}, err
	}
	before, err := c.f.Stat()
	if err != nil {
		return pipeline.Job{}, err
	}
	if !m.hasSettled(c, before) {
		return pipeline.Job{}, errUnsettled
	}
	// Contents over the size limit are never read, so they need no copy.
	if before.Links > 1 && m.cfg.Hardlinks != HardlinksTake && before.Size <= m.cfg.MaxFileSize {
		if before, err = m.replaceWithCopy(ctx, c, before); err != nil {
			return pipeline.Job{}, err
		}
	}

	job := m.newJob(c.id, c.rel, before)
	job.ReceivedAt = spool.IDTime(c.id)
	job.Repeated = c.maybePublished
	job.Content.Path, job.Content.PathB64 = pipeline.EncodeName(spool.JobPath(c.name))
	described := m.addDescription(&job, m.spool.Root, spool.Beside+"/"+c.id)
	if err := m.hashers.setHash(ctx, c.f, before, m.cfg.MaxFileSize, &job); err != nil {
		return pipeline.Job{}, err
	}
	dirs := []syncDir{{m.spool.Root, spool.Claimed}, {m.root, path.Dir(c.rel)}}
	if described {
		dirs = slices.Insert(dirs, 0, syncDir{m.spool.Root, spool.Beside})
	}
	if err := m.claimSyncer.sync(ctx, c.f, dirs...); err != nil {
		return pipeline.Job{}, err
	}
	m.w.notifyStep("synced")

	return job, m.storeContents(ctx, before, &job, func() (*rootfs.File, error) { return m.spool.Open(c.path()) })
}

// hasSettled reports whether a claimed file, in the given state, has no writer and has not changed
// for long enough.
func (m *mover) hasSettled(c *claimedFile, st rootfs.State) bool {
	writer, _ := c.f.Writer()
	if !c.settled {
		// The longer wait for temporary names does not apply: the file has already been claimed.
		now := m.w.clock()
		unchanged := c.history.Unchanged(st, now, m.w.cautious.now(now), m.remote)
		need := m.cfg.Settle
		if m.remote || writer == rootfs.UnknownWriter {
			need *= settle.BlindFactor
		}
		c.settled = unchanged >= need
	}

	return c.settled && writer != rootfs.HasWriter
}

// replaceWithCopy replaces a claimed file that has other names with a copy, so that its contents
// cannot change through those names.
func (m *mover) replaceWithCopy(ctx context.Context, c *claimedFile, before rootfs.State) (rootfs.State, error) {
	if err := m.copies.reserve(c.id, before.Size); err != nil {
		return rootfs.State{}, err
	}

	after, err := m.copyAndReplace(ctx, c, before)
	if err != nil {
		m.copies.drop(c.id)
	}

	return after, err
}

func (m *mover) copyAndReplace(ctx context.Context, c *claimedFile, before rootfs.State) (rootfs.State, error) {
	tmp := m.spool.Temp()
	out, err := m.spool.Create(tmp)
	if err != nil {
		return rootfs.State{}, err
	}
	defer func() { _ = m.spool.Remove(tmp) }() // after a success it no longer exists: it was renamed

	err = copyFile(ctx, out, c.f, before.Size)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return rootfs.State{}, fmt.Errorf("copy a hard-linked file: %w", err)
	}
	m.w.notifyStep("copied")
	if err := checkUnchanged(c.f, before); err != nil {
		return rootfs.State{}, err
	}

	c.close()
	if err := m.spool.Replace(tmp, c.path()); err != nil {
		return rootfs.State{}, err
	}
	if err := m.reopen(c); err != nil {
		return rootfs.State{}, err
	}

	return c.f.Stat()
}
