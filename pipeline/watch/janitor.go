package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// leftOver is how old something has to be before it is taken for left behind by a crash.
const leftOver = time.Hour

// janitorEvery is the time between two rounds of the janitor.
const janitorEvery = 10 * time.Minute

// objectName is the name of a job's contents in the object store. It tells the folder, so
// that the janitors of two folders keep out of each other's way.
func (s *session) objectName(id string) string { return s.objectPrefix() + id }

func (s *session) objectPrefix() string { return s.w.cfg.Source + "/" + s.folder + "/" }

// janitor removes what crashes left behind: half-written files, and contents in the object
// store whose file is not claimed any more; and what is of no use any more. Owned by tend.
type janitor struct {
	s    *session
	next time.Time
}

func newJanitor(s *session) *janitor { return &janitor{s: s} }

// run does a round if one is due. It returns the fault of a ledger, which nothing goes on
// without.
func (j *janitor) run(ctx context.Context) error {
	if j.s.ledger != nil {
		err := j.s.ledger.tend(func(key []byte, r record) bool {
			st, err := j.s.root.lstat(r.rel)
			return (err == nil && bytes.Equal(j.s.own(st.identity).key(), key)) || (err != nil && !isGone(err))
		})
		if err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
	}
	if time.Now().Before(j.next) {
		return nil
	}
	j.next = time.Now().Add(janitorEvery)
	err := errors.Join(j.sweepTmp(ctx), j.sweepPaths(ctx), j.sweepCopies())
	if j.s.w.cfg.Transfer == TransferObject {
		err = errors.Join(err, j.sweepObjects(ctx))
	}
	if err != nil {
		j.s.fault("janitor", err)
	} else {
		j.s.part("janitor", "")
	}
	return nil
}

// each calls visit with the names in a folder of the spool.
func (j *janitor) each(ctx context.Context, dir string, visit func(name string) error) error {
	f, err := j.s.spool.openDir(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for ctx.Err() == nil {
		entries, err := f.ReadDir(scanBatch)
		for _, d := range entries {
			if err := visit(d.Name()); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sweepTmp removes files that were never finished writing.
func (j *janitor) sweepTmp(ctx context.Context) error {
	return j.each(ctx, tmpDir, func(name string) error {
		if !validID(name) || time.Since(idTime(name)) <= leftOver {
			return nil
		}
		if err := j.s.spool.remove(tmpDir + "/" + name); !isGone(err) {
			return err
		}
		return nil
	})
}

// sweepPaths removes the records of folders that are gone: some producers make one for every
// file. That a folder is gone is found out before what is claimed, so that nothing is claimed
// from it in between.
func (j *janitor) sweepPaths(ctx context.Context) error {
	gone := map[string]string{} // tag to folder
	err := j.each(ctx, pathsDir, func(tag string) error {
		st, err := j.s.spool.lstat(pathsDir + "/" + tag)
		if err != nil || len(tag) != tagLen || time.Since(time.Unix(0, st.mtime)) <= leftOver {
			return nil //nolint:nilerr // another watcher's janitor was first
		}
		dir, err := j.s.paths.read(tag)
		if err != nil {
			return nil //nolint:nilerr // likewise, or it is nobody's
		}
		if _, err := j.s.root.lstat(dir); isGone(err) {
			gone[tag] = dir
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	err = j.each(ctx, claimedDir, func(name string) error {
		if id, _, _, ok := splitClaimed(name); ok {
			delete(gone, idTag(id))
		}
		return nil
	})
	for tag, dir := range gone {
		if err == nil {
			err = j.s.paths.drop(tag, dir)
		}
	}
	return err
}

// sweepCopies removes copies that were never finished, from the folders that finished files
// are moved to.
func (j *janitor) sweepCopies() error {
	var errs []error
	after := j.s.w.cfg.After
	for _, dir := range []string{after.Benign, after.Malicious, after.Failed} {
		if !strings.ContainsAny(dir, `/\`) {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil && !isGone(err) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			name, isCopy := strings.CutPrefix(e.Name(), copyPrefix)
			id, _ := strings.CutSuffix(name, copySuffix)
			if isCopy && validID(id) && time.Since(idTime(id)) > leftOver {
				errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
			}
		}
	}
	return errors.Join(errs...)
}

// sweepObjects removes contents whose file is finished: a crash came between the two.
func (j *janitor) sweepObjects(ctx context.Context) error {
	prefix := j.s.objectPrefix()
	objects, err := j.s.w.objects.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if len(o.Name) != len(prefix)+idLen || time.Since(o.ModTime) < leftOver {
			continue
		}
		if j.s.w.flight.has(o.Name[len(prefix):]) {
			continue
		}
		if err := j.s.w.objects.Delete(ctx, o.Name); err != nil {
			return err
		}
	}
	return nil
}
