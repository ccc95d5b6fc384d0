package watch

import (
	"context"
	"encoding/hex"
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

func (f *finisher) handleFinal(ctx context.Context, id string, e results.Event) error {
	likelyName := ""
	if base := eventName(e); base != "" && !strings.ContainsAny(base, "/\x00") {
		likelyName, _ = spool.ClaimedName(id, base)
	}
	name, err := f.spool.FindClaimed(id, f.w.inFlight.name(id), likelyName)
	if err != nil {
		return err
	}

	if name != "" {
		err := f.finish(ctx, id, name, e)
		if _, lerr := f.spool.Lstat(spool.Claimed + "/" + name); rootfs.IsGone(err) && rootfs.IsGone(lerr) {
			err = nil // another watcher has finished it
		}
		if err != nil {
			return err
		}
		f.w.troubles.clear(spool.JobPath(name))
	}
	if name == "" || strings.HasPrefix(name[len(id):], "-"+spool.HashedPrefix) {
		if err := f.spool.Paths.Remove(id); err != nil {
			return err
		}
	}
	if err := f.spool.RemoveDescription(id); err != nil {
		return err
	}
	f.w.inFlight.remove(id)

	return nil
}

// finish disposes of a claimed file as configured for its event, durably. It first checks that the
// file is still the one that the event is about: a program that opened it before the claim may have
// written to it since. A changed file becomes a new job.
func (f *finisher) finish(ctx context.Context, id, name string, e results.Event) error {
	file := &finishedFile{claimedFile: claimedFile{id: id, name: name}, event: e}
	defer file.close()

	var dir string
	file.action, dir = f.cfg.After.actionFor(e)
	file.doneDir = spool.Done + "/" + dir
	_, base, whole, _ := spool.SplitName(name)
	file.rel = f.originalPath(id, base, whole)

	same, err := f.matchesEvent(ctx, file)
	if err != nil {
		return err
	}
	if !same {
		return f.resubmit(ctx, file)
	}
	if rootfs.ClosesBeforeRename {
		file.close()
	}

	return f.dispose(ctx, file)
}

// resubmit gives a changed file a new job ID, durably. The maintainer then submits the file again.
func (f *finisher) resubmit(ctx context.Context, file *finishedFile) error {
	file.close()
	c := &claimedFile{id: spool.NewID(time.Now(), spool.IDTag(file.id)), rel: file.rel}
	name, err := f.spool.ChangeID(file.name, file.id, c.id, file.rel)
	if rootfs.IsGone(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("make a changed file a new job: %w", err)
	}
	c.name = name

	f.w.inFlight.add(c.id, c.name, spool.IDTime(c.id))
	f.copies.rename(file.id, c.id)
	f.w.m.finished["resubmit"].Inc()
	f.w.log.Warn().Str("job", file.id).Str("new_job", c.id).Str("path", file.rel).
		Msg("file changed after it was submitted; submitting it again as a new job")
	f.mu.Lock()
	f.resubmitted = append(f.resubmitted, c) // started by the maintainer, because the event's context ends with the event
	f.mu.Unlock()
	f.recheck()

	return f.syncer.sync(ctx, nil, syncDir{f.spool.Root, spool.Claimed})
}

// takeResubmitted returns the files that got a new ID since the last call.
func (f *finisher) takeResubmitted() []*claimedFile {
	f.mu.Lock()
	defer f.mu.Unlock()

	files := f.resubmitted
	f.resubmitted = nil

	return files
}

// dispose disposes of an unchanged file as configured for its event.
func (f *finisher) dispose(ctx context.Context, file *finishedFile) (err error) {
	// The sidecar is written before its file is removed or moved, so that after a crash in between
	// both steps are repeated.
	if f.cfg.Sidecar {
		file.sidecar, err = sidecarOf(file.event)
		if err == nil && !isFolder(file.action) { // otherwise moveOut writes it
			err = f.writeSidecar(file.doneDir, file.name, file.sidecar)
		}
		if err != nil {
			return err
		}
	}

	label := file.action
	dirs := []syncDir{{f.spool.Root, spool.Claimed}}
	switch file.action {
	case AfterKeep:
		err = f.moveToDone(ctx, file)
		dirs = slices.Insert(dirs, 0, syncDir{f.spool.Root, file.doneDir})
	case AfterDelete:
		err = f.spool.Remove(file.path())
	case AfterRestore:
		err = f.restore(ctx, file)
	default:
		label = "move"
		err = f.moveOut(ctx, file)
	}
	if err != nil {
		return err
	}
	f.w.notifyStep("moved")
	if file.action != AfterKeep {
		f.copies.drop(file.id)
	}
	f.w.finishes.Add(1)
	f.w.m.finished[label].Inc()
	f.w.log.Debug().Str("job", file.id).Str("outcome", file.event.Outcome()).Str("action", label).Msg("file finished")

	return f.syncer.sync(ctx, nil, dirs...)
}

// writeSidecar writes the sidecar of a file to the spool.
func (f *folder) writeSidecar(doneDir, name string, sidecar []byte) error {
	if err := f.spool.MkdirAll(doneDir, 0o700); err != nil {
		return err
	}

	return f.spool.Write(doneDir+"/"+name+spool.SidecarSuffix, sidecar, true)
}

// moveToDone moves a file to its verdict's folder in the spool, creating the folder if necessary.
func (f *finisher) moveToDone(ctx context.Context, file *finishedFile) error {
	to, err := renameNumbered(ctx, f.spool.Root, file.path(), f.spool.Root, file.doneDir+"/"+file.name)
	if rootfs.IsGone(err) {
		if err := f.spool.MkdirAll(file.doneDir, 0o700); err != nil {
			return err
		}
		to, err = renameNumbered(ctx, f.spool.Root, file.path(), f.spool.Root, file.doneDir+"/"+file.name)
	}
	if err == nil {
		f.copies.keep(file.id, to)
	}

	return err
}

// renameNumbered moves a file to the path wanted, adding a number to its name if that is taken. It
// returns the file's new path.
func renameNumbered(ctx context.Context, from *rootfs.Root, rel string, to *rootfs.Root, wanted string) (toRel string, err error) {
	for n := 0; ctx.Err() == nil; n++ {
		toRel = path.Join(path.Dir(wanted), spool.Numbered(path.Base(wanted), n))
		if err = rootfs.Move(from, rel, to, toRel); !errors.Is(err, fs.ErrExist) {
			return toRel, err
		}
	}

	return "", ctx.Err()
}

// restore moves a claimed file back to where it was found, adding a number if the name is taken.
// The ledger has a record of the file before it reappears, so that it is not claimed again.
func (f *finisher) restore(ctx context.Context, file *finishedFile) error {
	rel, err := restorePath(f.root, file.rel)
	if err != nil {
		return err
	}
	r := ledger.Record{
		Stamp:     file.state.Stamp,
		Restoring: true,
		ID:        file.id,
		Rel:       rel,
	}
	if file.event.Data.SHA256 != "" {
		if _, err := hex.Decode(r.SHA256[:], []byte(file.event.Data.SHA256)); err != nil {
			return err
		}
	}
	i := f.relativeIdentity(file.state.Identity)
	if err := f.known.ledger.Update(i, r); err != nil {
		return err
	}
	f.w.notifyStep("restoring")

	to, err := renameNumbered(ctx, f.spool.Root, file.path(), f.root, rel)
	if err != nil {
		return err
	}
	if err := f.root.SyncDir(path.Dir(to)); err != nil {
		return err
	}

	// Renaming changed the ctime. Record the new one: otherwise the record would also match a later
	// file of the same size and mtime.
	now, err := f.root.Lstat(to)
	if err == nil && now.Identity == file.state.Identity && now.Size == file.state.Size && now.Mtime == file.state.Mtime && (file.f == nil || f.isUnchanged(file)) {
		r.Restoring = false
		r.Stamp = now.Stamp
		r.Rel = to
		err = f.known.ledger.Update(i, r)
	} else {
		// The file was written to or removed since it was judged. Whatever has its name now is
		// treated as a new file.
		err = f.known.ledger.Remove(i)
		f.hints.add(to, true)
	}

	return err
}

// restorePath returns the path to return a file to, normally the one where it was found. It creates
// the folder if it is missing. If something else has the folder's name, or the folder is on another
// mount, the file goes directly into the watched folder.
func restorePath(root *rootfs.Root, rel string) (string, error) {
	dir := path.Dir(rel)
	if dir == "." {
		return rel, nil
	}

	err := root.MkdirAll(dir, 0o777)
	if err == nil {
		err = root.CheckDir(dir)
	}
	switch {
	case err == nil:
		return rel, nil
	case rootfs.IsBlocked(err), isMount(err):
		return path.Base(rel), nil
	}

	return "", err
}
