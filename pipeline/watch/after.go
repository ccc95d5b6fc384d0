package watch

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/ledger"
	"backburn/pipeline/watch/spool"
	"backburn/results"
)

func (m *mover) handleFinal(ctx context.Context, id string, e results.Event) error {
	likelyName := ""
	if base := eventName(e); base != "" && !strings.ContainsAny(base, "/\x00") {
		likelyName, _ = spool.ClaimedName(id, base)
	}
	name, err := m.spool.FindClaimed(id, m.w.inFlight.name(id), likelyName)
	if err != nil {
		return err
	}

	if name != "" {
		err := m.finish(ctx, id, name, e)
		if _, lerr := m.spool.Lstat(spool.Claimed + "/" + name); rootfs.IsGone(err) && rootfs.IsGone(lerr) {
			err = nil // another watcher has finished it
		}
		if err != nil {
			return err
		}
		m.w.troubles.clear(spool.JobPath(name))
	}
	if name == "" || strings.HasPrefix(name[len(id):], "-"+spool.HashedPrefix) {
		if err := m.spool.Paths.Remove(id); err != nil {
			return err
		}
	}
	if m.mayHaveDescription() {
		if err := m.spool.RemoveDescription(id); err != nil {
			return err
		}
	}
	m.w.inFlight.remove(id)

	return nil
}

// mayHaveDescription reports whether the spool may hold descriptions of claimed files to remove.
func (m *mover) mayHaveDescription() bool {
	if m.cfg.Metadata != MetadataNone {
		return true
	}
	_, err := m.spool.Lstat(spool.Beside) // there may be some from an earlier configuration

	return err == nil
}

// finish disposes of a claimed file as configured for its event, durably. It first checks that the
// file is still the one that was judged: a program that opened the file before the claim may have
// written to it since. A changed file becomes a new job.
func (m *mover) finish(ctx context.Context, id, name string, e results.Event) error {
	file := &finishedFile{claimedFile: claimedFile{id: id, name: name}, event: e}
	defer file.close()

	var verdict string
	file.action, verdict = m.cfg.After.actionFor(e)
	file.doneDir = spool.Done + "/" + verdict
	_, base, whole, _ := spool.SplitName(name)
	file.rel = m.originalPath(id, base, whole)

	same, err := m.matchesEvent(ctx, file)
	if err != nil {
		return err
	}
	if !same {
		return m.resubmit(file)
	}
	if rootfs.ClosesBeforeRename {
		file.close()
	}

	return m.dispose(ctx, file)
}

// resubmit submits a claimed file that has changed as a new job.
func (m *mover) resubmit(file *finishedFile) error {
	file.close()
	c := &claimedFile{id: spool.NewID(time.Now(), spool.IDTag(file.id)), rel: file.rel}
	name, err := m.spool.Rename(file.name, file.id, c.id, file.rel)
	if rootfs.IsGone(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("make a changed file a new job: %w", err)
	}
	c.name = name

	m.w.inFlight.add(c.id, c.name, spool.IDTime(c.id))
	m.copies.rename(file.id, c.id)
	m.w.m.finished["resubmit"].Inc()
	m.w.log.Warn().Str("job", file.id).Str("new_job", c.id).Str("path", file.rel).
		Msg("file changed after it was submitted; submitting it again as a new job")
	m.mu.Lock()
	m.resubmitted = append(m.resubmitted, c) // started by the maintainer, because the event's context ends with the event
	m.mu.Unlock()
	m.recheck()

	return nil
}

// dispose disposes of an unchanged file as configured for its event.
func (m *mover) dispose(ctx context.Context, file *finishedFile) (err error) {
	if m.cfg.Sidecar {
		if err := m.writeSidecar(file); err != nil {
			return err
		}
	}

	label := file.action
	dirs := []syncDir{{spool: true, rel: spool.Claimed}}
	switch file.action {
	case AfterKeep:
		err = m.keepDone(ctx, file)
		dirs = slices.Insert(dirs, 0, syncDir{spool: true, rel: file.doneDir})
	case AfterDelete:
		err = m.spool.Remove(file.path())
	case AfterRestore:
		err = m.restore(ctx, file)
	default:
		label = "move"
		err = m.moveOut(ctx, file)
	}
	if err != nil {
		return err
	}
	m.notifyStep("moved")
	if file.action != AfterKeep {
		m.copies.drop(file.id)
	}
	m.w.finishes.Add(1)
	m.w.m.finished[label].Inc()
	m.w.log.Debug().Str("job", file.id).Str("outcome", file.event.Outcome()).Str("action", label).Msg("file finished")

	return m.finishSyncer.sync(ctx, nil, dirs...)
}

// writeSidecar encodes the sidecar of a file. It also writes it, except for files that moveOut
// moves together with their sidecars. The sidecar is written before its file is removed or moved,
// so that after a crash in between both steps are repeated.
func (m *mover) writeSidecar(file *finishedFile) error {
	b, err := json.Marshal(file.event)
	if err != nil {
		return err
	}
	file.sidecar = append(b, '\n')
	if file.action != AfterKeep && file.action != AfterDelete && file.action != AfterRestore {
		return nil
	}
	if err := m.spool.MkdirAll(file.doneDir, 0o700); err != nil {
		return err
	}

	return m.spool.Write(file.doneDir+"/"+file.name+spool.SidecarSuffix, file.sidecar, true)
}

// keepDone moves a file to its verdict's folder in the spool, creating the folder if necessary.
func (m *mover) keepDone(ctx context.Context, file *finishedFile) error {
	to, err := renameNumbered(ctx, m.spool.Root, file.path(), m.spool.Root, file.doneDir, file.name)
	if rootfs.IsGone(err) {
		if err := m.spool.MkdirAll(file.doneDir, 0o700); err != nil {
			return err
		}
		to, err = renameNumbered(ctx, m.spool.Root, file.path(), m.spool.Root, file.doneDir, file.name)
	}
	if err == nil {
		m.copies.keep(file.id, to)
	}

	return err
}

// renameNumbered moves a file to a name in dir, adding a number if the name is taken. It returns
// the file's new path.
func renameNumbered(ctx context.Context, from *rootfs.Root, rel string, to *rootfs.Root, dir, name string) (toRel string, err error) {
	for n := 0; ctx.Err() == nil; n++ {
		toRel = path.Join(dir, spool.Numbered(name, n))
		if err = rootfs.Move(from, rel, to, toRel); !errors.Is(err, fs.ErrExist) {
			return toRel, err
		}
	}

	return "", ctx.Err()
}

// restore moves a claimed file back to where it was found, adding a number if the name is taken.
// The ledger has a record of the file before it reappears, so that it is not claimed again.
func (m *mover) restore(ctx context.Context, file *finishedFile) error {
	rel, err := m.restorable(file.rel)
	if err != nil {
		return err
	}
	r := ledger.Record{
		Stamp:   file.state.Stamp,
		Pending: true,
		ID:      file.id,
		Rel:     rel,
	}
	if file.event.Data.SHA256 != "" {
		if _, err := hex.Decode(r.SHA256[:], []byte(file.event.Data.SHA256)); err != nil {
			return err
		}
	}
	i := m.relativeIdentity(file.state.Identity)
	if err := m.known.ledger.Update(i, r); err != nil {
		return err
	}
	m.notifyStep("restoring")

	to, err := renameNumbered(ctx, m.spool.Root, file.path(), m.root, path.Dir(rel), path.Base(rel))
	if err != nil {
		return err
	}
	if err := m.root.SyncDir(path.Dir(to)); err != nil {
		return err
	}

	// Renaming changed the ctime. Record the new one: otherwise the record would also match a later
	// file of the same size and mtime.
	now, err := m.root.Lstat(to)
	if err == nil && now.Identity == file.state.Identity && now.Size == file.state.Size && now.Mtime == file.state.Mtime && (file.f == nil || m.isUnchanged(file)) {
		r.Pending = false
		r.Stamp = now.Stamp
		r.Rel = to
		err = m.known.ledger.Update(i, r)
	} else {
		// The file was written to or removed since it was judged. Treat what has its name now as
		// new.
		err = m.known.ledger.Remove(i)
		m.hints.add(to, true)
	}

	return err
}

// restorable returns the path to restore a file to: where it was found or, if something other than
// a folder, or another mount, is in the way, its base name in the watched folder.
func (m *mover) restorable(rel string) (string, error) {
	dir := path.Dir(rel)
	if dir == "." {
		return rel, nil
	}

	err := m.root.MkdirAll(dir, 0o777)
	if err == nil {
		err = m.root.CheckDir(dir)
	}
	switch {
	case err == nil:
		return rel, nil
	case rootfs.IsBlocked(err), isMount(err):
		return path.Base(rel), nil
	}

	return "", err
}
