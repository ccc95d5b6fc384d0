package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"backburn/pipeline"
)

// claimed is a file in claimedDir that is not yet published.
type claimed struct {
	id      string
	name    string // in claimedDir
	rel     string // where it was found
	f       *file  // open, or nil
	settled bool   // it was left alone for long enough
	seen    entry  // the last look, until it is settled
}

func (c *claimed) close() {
	if c.f != nil {
		c.f.Close()
		c.f = nil
	}
}

// errUnsettled says that a claimed file can't be published yet: somebody is still writing
// to it, or did so while it was read.
var errUnsettled = errors.New("still being written")

// take claims a file that was found complete and sees it through to its publication. It
// runs with a place in flight, and gives it back. tracked says that the decider waits to
// hear what became of it.
func (s *session) take(ctx context.Context, rel string, want fileState, unchanged time.Duration, tracked bool) {
	defer s.w.flight.leave()
	report := func(o outcome) {
		if tracked {
			s.hints.done(result{rel, o})
		}
	}
	f, st, o := s.inspect(rel, want, unchanged)
	if o != take {
		s.w.flight.cancel()
		report(o)
		return
	}
	if s.w.cfg.Claim == ClaimKeep {
		report(s.takeInPlace(ctx, rel, f, st))
		return
	}
	if s.ledger != nil {
		same, err := s.sameContents(ctx, rel, f, st)
		if same || err != nil {
			f.Close()
			s.w.flight.cancel()
			report(s.again(err))
			return
		}
		f.rewind()
	}
	c, o := s.claim(rel, f, st)
	report(o)
	if c == nil {
		s.w.flight.cancel()
		return
	}
	s.finish(ctx, c)
}

// again is the outcome of a comparison with the ledger.
func (s *session) again(err error) outcome {
	switch {
	case err == nil:
		return forget
	case errors.Is(err, errUnsettled):
		return changed
	}
	s.fault("ledger", err)
	return failed
}

// inspect opens a file and judges it by what was opened. Unless the outcome is take, f is
// closed.
func (s *session) inspect(rel string, want fileState, unchanged time.Duration) (f *file, st fileState, o outcome) {
	f, err := s.root.open(rel)
	if err != nil {
		return nil, st, s.cantOpen(rel, err)
	}
	st, err = f.stat()
	switch {
	case err != nil:
		o = s.cantOpen(rel, err)
	case !st.same(want):
		o = changed
	default:
		o = s.askWriter(rel, f, st, unchanged)
	}
	if o != take {
		f.Close()
	}
	return f, st, o
}

// cantOpen classifies why a file could not be opened.
func (s *session) cantOpen(rel string, err error) outcome {
	switch {
	case isGone(err):
		return forget
	case errors.Is(err, errNotRegular):
		s.w.m.skipped["special"].Inc()
		return forget
	case isCrossDevice(err):
		s.mountedAt(rel)
		return forget
	case errors.Is(err, fs.ErrPermission):
		s.w.m.deferred["unreadable"].Inc()
	default:
		s.w.m.deferred["fault"].Inc()
	}
	s.w.log.Debug().Str("path", rel).Err(err).Msg("file can't be opened, will look again")
	return failed
}

// mountedAt notes what can't be taken since it is on another mount.
func (s *session) mountedAt(rel string) {
	s.w.m.skipped["mount"].Inc()
	s.part("mount", fmt.Sprintf("another file system is mounted inside the folder, at or above %q; watch it as a folder of its own", rel))
}

// askWriter decides by whether somebody has the file open for writing.
func (s *session) askWriter(rel string, f *file, st fileState, unchanged time.Duration) outcome {
	switch state, err := f.writer(); state {
	case writerNone:
		return take
	case writerBusy:
		return busy
	default:
		if patience, _ := s.patience(rel, st, true); unchanged < patience {
			return blind
		}
		s.w.m.writerBlind.Inc()
		s.w.blindOnce.Do(func() {
			s.w.log.Warn().Err(err).Msg("can't tell whether files are open for writing, relying on a longer settle time; " +
				"run as the owner of the files or with CAP_LEASE")
		})
		return take
	}
}

// claim renames a file into the spool, under a new id. It returns nil if the file was not
// claimed.
func (s *session) claim(rel string, f *file, st fileState) (*claimed, outcome) {
	dir, base := path.Split(rel)
	tag, err := s.paths.tag(path.Clean("/" + dir)[1:])
	if err != nil {
		f.Close()
		s.fault("claim", err)
		return nil, failed
	}
	c := &claimed{id: newID(time.Now(), tag), rel: rel, f: f}
	err = s.moveIn(c, base)
	if err != nil {
		c.close()
		if isGone(err) { // deleted, or another watcher was first
			return nil, forget
		}
		s.fault("claim", err)
		return nil, failed
	}
	s.w.at("claimed")
	now, err := s.root.lstat(claimedDir + "/" + c.name)
	if (isGone(err) || err == nil && !now.regular) && s.root.rename(claimedDir+"/"+c.name, rel, false) == nil {
		// The spool was moved away, or a folder, say, came into the file's place in that moment.
		// Now it is back where it was, to be judged as what it is.
		c.close()
		s.paths.forget(c.id)
		s.checkNow()
		return nil, failed
	}
	s.w.flight.claimed(c.id, c.name, idTime(c.id))
	s.w.claims.Add(1)
	s.w.m.claimed.Inc()
	s.dropDoneFile(rel)
	// A producer may have put another file under the name since it was opened, or written to
	// it; then that is what was claimed, and has to be judged afresh.
	if err != nil || now.identity != st.identity {
		c.close()
	}
	c.settled = err == nil && now.identity == st.identity && now.size == st.size && now.mtime == st.mtime
	return c, forget
}

// moveIn does the rename.
func (s *session) moveIn(c *claimed, base string) error {
	if closesBeforeRename {
		c.close()
	}
	var whole bool
	if c.name, whole = claimedName(c.id, base); whole {
		err := s.root.rename(c.rel, claimedDir+"/"+c.name, false)
		if !isTooLong(err) {
			return err
		}
		c.name, _ = claimedName(c.id, base+longerThanAny)
	}
	// The true name does not fit: it is recorded, durably, before the file has lost it.
	if err := s.paths.record(c.id, c.rel); err != nil {
		return err
	}
	err := s.root.rename(c.rel, claimedDir+"/"+c.name, false)
	if err != nil {
		s.paths.forget(c.id)
	}
	return err
}

// dropDoneFile removes the done file of a file that was claimed.
func (s *session) dropDoneFile(rel string) {
	if s.w.done == nil || s.w.done.fixed != "" {
		return
	}
	if err := s.root.remove(s.w.done.of(rel)); err != nil && !isGone(err) {
		s.fault("done file", err)
	}
}

// finish publishes a claimed file, however long that takes. It gives the place among those
// who work back while it waits.
func (s *session) finish(ctx context.Context, c *claimed) {
	stuck := false
	defer func() {
		if stuck && s.stuck.Add(-1) == 0 {
			s.part("prepare", "")
		}
	}()
	for try := 0; ; try++ {
		job, err := s.prepare(ctx, c)
		c.close()
		if err == nil {
			if err = s.publish(ctx, job); err == nil {
				s.w.m.latency.Observe(time.Since(idTime(c.id)).Seconds())
				s.w.at("published")
			}
			return // published, or ctx has ended
		}
		if ctx.Err() != nil {
			return
		}
		if _, lerr := s.root.lstat(claimedDir + "/" + c.name); isGone(err) && isGone(lerr) {
			// Finished by another watcher, or taken away by hand.
			s.w.log.Debug().Str("job", c.id).Msg("claimed file is gone")
			s.w.flight.finished(c.id)
			return
		}
		if errors.Is(err, errNotRegular) && s.setAside(c) {
			return
		}
		wait := max(s.w.cfg.Settle, 50*time.Millisecond)
		if !errors.Is(err, errUnsettled) {
			if !stuck {
				stuck = true
				s.stuck.Add(1)
			}
			s.fault("prepare", err)
			wait = min(retryMin<<min(try, 16), retryMax)
		} else {
			s.w.m.deferred["writer"].Inc()
		}
		s.w.flight.leave()
		werr := sleep(ctx, wait)
		if err := s.w.flight.enter(context.WithoutCancel(ctx)); err != nil || werr != nil {
			return
		}
	}
}

// setAside gets rid of something that is no file and was exchanged for one in the moment of
// its claim. It is kept, for whoever wants to know, and reported as a thing that is not taken.
func (s *session) setAside(c *claimed) bool {
	const dir = doneDir + "/special"
	err := s.root.mkdirAll(dir, true)
	if err == nil {
		err = s.root.rename(claimedDir+"/"+c.name, dir+"/"+c.name, false)
	}
	if err != nil {
		s.fault("prepare", err)
		return false
	}
	s.w.m.skipped["special"].Inc()
	s.w.log.Warn().Str("job", c.id).Str("path", c.rel).Msg("a file was exchanged for something else while it was claimed, set aside")
	s.w.flight.finished(c.id)
	return true
}

// prepare makes a claimed file durable, hashes it, and returns its job.
func (s *session) prepare(ctx context.Context, c *claimed) (pipeline.Job, error) {
	if err := s.reopen(c); err != nil {
		return pipeline.Job{}, err
	}
	before, err := c.f.stat()
	if err != nil {
		return pipeline.Job{}, err
	}
	if !s.leftAlone(c, before) {
		return pipeline.Job{}, errUnsettled
	}
	// Contents that are too large are never read, and not worth a copy.
	if before.nlink > 1 && s.w.cfg.Hardlinks != HardlinksTake && before.size <= s.w.cfg.MaxFileSize {
		if before, err = s.makeOwn(ctx, c, before); err != nil {
			return pipeline.Job{}, err
		}
	}
	if err := s.sync.sync(ctx, c.f, path.Dir(c.rel)); err != nil {
		return pipeline.Job{}, err
	}
	s.w.at("synced")
	job := s.job(c, before)
	if err := s.hash(ctx, c.f, before, &job); err != nil {
		return pipeline.Job{}, err
	}
	return job, s.store(ctx, before, &job, func() (*file, error) { return s.root.open(claimedDir + "/" + c.name) })
}

// leftAlone reports whether a claimed file, found in the given state, has no writer and did not
// change for long enough.
func (s *session) leftAlone(c *claimed, st fileState) bool {
	writer, _ := c.f.writer()
	if !c.settled {
		// By its name it has waited already; the name is what it was claimed by.
		patience := s.w.cfg.Settle
		if st.size == 0 || s.remote || writer == writerUnknown {
			patience *= patient
		}
		c.settled = s.unchangedFor(&c.seen, st) >= patience
	}
	return c.settled && writer != writerBusy
}

// reopen opens a claimed file unless it is.
func (s *session) reopen(c *claimed) (err error) {
	if c.f == nil {
		c.f, err = s.root.open(claimedDir + "/" + c.name)
	}
	return err
}

// makeOwn gives a claimed file that has other names contents of its own, so that nobody can
// change them through another name from then on.
func (s *session) makeOwn(ctx context.Context, c *claimed, before fileState) (fileState, error) {
	if info, err := s.root.statFS(); err == nil && info.full(s.w.cfg.MinFree+before.size) {
		return fileState{}, fmt.Errorf("copy a hard-linked file of %d bytes: no space left above min_free", before.size)
	}
	tmp := tmpDir + "/" + newID(time.Now(), rootTag)
	out, err := s.root.create(tmp)
	if err != nil {
		return fileState{}, err
	}
	defer s.root.remove(tmp) // fails when all went well: it has its name by then
	err = copyFile(ctx, out, c.f, before.size)
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fileState{}, fmt.Errorf("copy a hard-linked file: %w", err)
	}
	s.w.at("copied")
	if err := unchanged(c.f, before); err != nil {
		return fileState{}, err
	}
	c.close()
	if err := s.root.rename(tmp, claimedDir+"/"+c.name, true); err != nil {
		return fileState{}, err
	}
	if err := s.reopen(c); err != nil {
		return fileState{}, err
	}
	return c.f.stat()
}

// job describes a claimed file.
func (s *session) job(c *claimed, st fileState) pipeline.Job {
	job := s.describe(c.id, c.rel, st)
	job.ReceivedAt = idTime(c.id)
	job.Content.Path, job.Content.PathB64 = pipeline.Name(claimedDir + "/" + c.name)
	return job
}

// describe is the part of a job that does not depend on how the file was claimed.
func (s *session) describe(id, rel string, st fileState) pipeline.Job {
	job := pipeline.Job{
		ID: id, Source: s.w.cfg.Source, Priority: s.w.cfg.Priority,
		Version: 1, Kind: pipeline.KindFile, Size: st.size, Content: &pipeline.Content{},
	}
	job.Filename, job.FilenameB64 = pipeline.Name(path.Base(rel))
	job.Path, job.PathB64 = pipeline.Name(rel)
	return job
}

// sleep waits, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
