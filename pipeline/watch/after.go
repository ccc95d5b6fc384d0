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

func (m *mover) conclude(ctx context.Context, id string, e results.Event) error {
	guess := ""
	if base := eventName(e); base != "" && !strings.ContainsAny(base, "/\x00") {
		guess, _ = spool.ClaimedName(id, base)
	}
	name, err := m.spool.FindClaimed(id, m.w.inFlight.name(id), guess)
	if err != nil {
		return err
	}

	if name != "" {
		err := m.end(ctx, id, name, e)
		if _, lerr := m.spool.Lstat(spool.Claimed + "/" + name); rootfs.IsGone(err) && rootfs.IsGone(lerr) {
			err = nil // another watcher has finished it
		}
		if err != nil {
			return err
		}
		m.w.troubles.end(spool.JobPath(name))
	}
	if name == "" || strings.HasPrefix(name[len(id):], "-"+spool.HashedName) {
		if err := m.spool.Paths.Forget(id); err != nil {
			return err
		}
	}
	if m.mayHaveBeside() {
		if err := m.spool.ForgetBeside(id); err != nil {
			return err
		}
	}
	m.w.inFlight.finished(id)

	return nil
}

// mayHaveBeside reports whether the spool may hold descriptions of claimed files to remove.
func (m *mover) mayHaveBeside() bool {
	if m.cfg.Metadata != MetadataNone {
		return true
	}
	_, err := m.spool.Lstat(spool.Beside) // there may be some from an earlier configuration

	return err == nil
}

// end disposes of a claimed file as configured for its event, durably. It first checks that the
// file is still the one that was judged: a program that opened the file before the claim may have
// written to it since. A changed file becomes a new job.
func (m *mover) end(ctx context.Context, id, name string, e results.Event) error {
	g := &ending{claimedFile: claimedFile{id: id, name: name}, e: e}
	defer g.close()

	var verdict string
	g.action, verdict = m.cfg.After.class(e)
	g.done = spool.Done + "/" + verdict
	_, base, whole, _ := spool.SplitName(name)
	g.rel = m.foundAt(id, base, whole)

	same, err := m.vouch(ctx, g)
	if err != nil {
		return err
	}
	if !same {
		return m.renew(g)
	}
	if rootfs.ClosesBeforeRename {
		g.close()
	}

	return m.dispose(ctx, g)
}

// renew submits a claimed file that has changed as a new job.
func (m *mover) renew(g *ending) error {
	g.close()
	c := &claimedFile{id: spool.NewID(time.Now(), spool.IDTag(g.id)), rel: g.rel}
	name, err := m.spool.Rename(g.name, g.id, c.id, g.rel)
	if rootfs.IsGone(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("make a changed file a new job: %w", err)
	}
	c.name = name

	m.w.inFlight.add(c.id, c.name, spool.IDTime(c.id))
	m.copies.rename(g.id, c.id)
	m.w.m.finished["resubmit"].Inc()
	m.w.log.Warn().Str("job", g.id).Str("new_job", c.id).Str("path", g.rel).
		Msg("file changed after it was submitted; submitting it again as a new job")
	m.mu.Lock()
	m.renewed = append(m.renewed, c) // started by the tender, because the event's context ends with the event
	m.mu.Unlock()
	m.recheck()

	return nil
}

// dispose disposes of an unchanged file as configured for its event.
func (m *mover) dispose(ctx context.Context, g *ending) (err error) {
	if m.cfg.Sidecar {
		if err := m.writeSidecar(g); err != nil {
			return err
		}
	}

	label := g.action
	dirs := []syncDir{{spool: true, rel: spool.Claimed}}
	switch g.action {
	case AfterKeep:
		err = m.keepDone(ctx, g)
		dirs = slices.Insert(dirs, 0, syncDir{spool: true, rel: g.done})
	case AfterDelete:
		err = m.spool.Remove(g.path())
	case AfterRestore:
		err = m.restore(ctx, g)
	default:
		label = "move"
		err = m.moveOut(ctx, g)
	}
	if err != nil {
		return err
	}
	m.at("moved")
	if g.action != AfterKeep {
		m.copies.drop(g.id)
	}
	m.w.finishes.Add(1)
	m.w.m.finished[label].Inc()
	m.w.log.Debug().Str("job", g.id).Str("outcome", g.e.Outcome()).Str("action", label).Msg("file finished")

	return m.ends.sync(ctx, nil, dirs...)
}

// writeSidecar encodes the sidecar of a file. It also writes it, except for files that moveOut
// moves together with their sidecars. The sidecar is written before its file is removed or moved,
// so that after a crash in between both steps are repeated.
func (m *mover) writeSidecar(g *ending) error {
	b, err := json.Marshal(g.e)
	if err != nil {
		return err
	}
	g.sidecar = append(b, '\n')
	if g.action != AfterKeep && g.action != AfterDelete && g.action != AfterRestore {
		return nil
	}
	if err := m.spool.MkdirAll(g.done, 0o700); err != nil {
		return err
	}

	return m.spool.Write(g.done+"/"+g.name+spool.SidecarSuffix, g.sidecar, true)
}

// keepDone moves a file to its verdict's folder in the spool, creating the folder if necessary.
func (m *mover) keepDone(ctx context.Context, g *ending) error {
	to, err := renameNumbered(ctx, m.spool.Root, g.path(), m.spool.Root, g.done, g.name)
	if rootfs.IsGone(err) {
		if err := m.spool.MkdirAll(g.done, 0o700); err != nil {
			return err
		}
		to, err = renameNumbered(ctx, m.spool.Root, g.path(), m.spool.Root, g.done, g.name)
	}
	if err == nil {
		m.copies.keep(g.id, to)
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
func (m *mover) restore(ctx context.Context, g *ending) error {
	rel, err := m.restorable(g.rel)
	if err != nil {
		return err
	}
	r := ledger.Record{
		Stamp:   g.state.Stamp,
		Pending: true,
		ID:      g.id,
		Rel:     rel,
	}
	if g.e.Data.SHA256 != "" {
		if _, err := hex.Decode(r.SHA256[:], []byte(g.e.Data.SHA256)); err != nil {
			return err
		}
	}
	i := m.own(g.state.Identity)
	if err := m.memory.ledger.Touched(i, r); err != nil {
		return err
	}
	m.at("restoring")

	to, err := renameNumbered(ctx, m.spool.Root, g.path(), m.root, path.Dir(rel), path.Base(rel))
	if err != nil {
		return err
	}
	if err := m.root.SyncDir(path.Dir(to)); err != nil {
		return err
	}

	// Renaming changed the ctime. Record the new one: otherwise the record would also match a later
	// file of the same size and mtime.
	now, err := m.root.Lstat(to)
	if err == nil && now.Identity == g.state.Identity && now.Size == g.state.Size && now.Mtime == g.state.Mtime && (g.f == nil || m.still(g)) {
		r.Pending = false
		r.Stamp = now.Stamp
		r.Rel = to
		err = m.memory.ledger.Touched(i, r)
	} else {
		// The file was written to or removed since it was judged. Treat whatever is there as new.
		err = m.memory.ledger.Drop(i)
		m.hints.put(to, true)
	}

	return err
}

// restorable returns the path to restore a file to: where it was found or, if something other than
// a folder or another mount is in the way, its base name in the watched folder.
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
