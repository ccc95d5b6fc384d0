package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// adoptAfter is how old a claimed file is that this watcher does not know when it takes
// care of it: whoever claimed it has had time enough, or is gone.
const adoptAfter = time.Minute

// openFolder opens the watched folder, and the folder that the spool is in: the same, unless
// Config.StateDir names another.
func openFolder(name string, cfg Config) (folder, spool *root, err error) {
	if cfg.StateDir == "" {
		folder, err = openSpool(name)
		return folder, folder, err
	}
	if err := isFolder(name); err != nil {
		return nil, nil, err
	}
	if folder, err = openRoot(name); err != nil {
		return nil, nil, err
	}
	state := filepath.Join(cfg.StateDir, cfg.Source)
	if err = os.MkdirAll(state, 0o700); err == nil {
		spool, err = openSpool(state)
	}
	if err != nil {
		folder.close()
		return nil, nil, fmt.Errorf("state_dir: %w", err)
	}
	return folder, spool, nil
}

// isFolder returns an error if there is something by this name that will never be a folder.
func isFolder(name string) error {
	if st, err := os.Stat(name); err == nil && !st.IsDir() {
		return fmt.Errorf("%w: it is not a folder; name the folder that files arrive in", ErrUnusable)
	}
	return nil
}

// openSpool opens a folder and makes sure that it has a spool that works.
func openSpool(name string) (*root, error) {
	if err := isFolder(name); err != nil {
		return nil, err
	}
	r, err := openRoot(name)
	if err != nil {
		return nil, err
	}
	if err := prepareSpool(r); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// prepareSpool makes what is missing of the spool and tries it out.
func prepareSpool(r *root) error {
	if err := r.mkdir(spoolDir, 0o700); err == nil {
		err = r.syncDir("")
		if err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%w; the watcher needs to write to the folder", err)
		}
		return err
	}
	st, err := r.lstat(spoolDir)
	if err != nil {
		return err
	}
	if !st.dir {
		return fmt.Errorf("%w: %s is not a folder; remove it", ErrUnusable, spoolDir)
	}
	if err := guardSpool(r); err != nil {
		return err
	}
	for _, dir := range []string{claimedDir, doneDir, tmpDir, pathsDir} {
		if err := r.mkdirAll(dir, true); err != nil {
			return mountHint(err)
		}
	}
	for _, dir := range []string{claimedDir, tmpDir, pathsDir} {
		if err := r.keep(dir); err != nil {
			return mountHint(err)
		}
	}
	return probeRename(r)
}

// guardSpool makes sure that nobody else can reach into the spool.
func guardSpool(r *root) error {
	ours, perm, err := r.privateTo(spoolDir)
	if err != nil {
		return err
	}
	if !ours {
		return fmt.Errorf("%w: %s belongs to another user, who could exchange what was claimed; remove it", ErrUnusable, spoolDir)
	}
	if perm&0o022 != 0 {
		if err := r.chmod(spoolDir, perm&^0o022); err != nil {
			return fmt.Errorf("%s is writable by others: %w", spoolDir, err)
		}
	}
	return nil
}

// mountHint explains the error of a spool that is a mount of its own.
func mountHint(err error) error {
	if isCrossDevice(err) {
		return fmt.Errorf("%w: %s is on another mount than the folder, and files can't be claimed by renaming them; "+
			"unmount it, so that it is a plain folder (%w)", ErrUnusable, spoolDir, err)
	}
	return err
}

// probePrefix begins the names of files by which it is tried whether renaming works. They
// are empty, and only empty files of such names are passed over.
const probePrefix = ".backburn-probe-"

func isProbe(rel string) bool {
	id, ok := strings.CutPrefix(path.Base(rel), probePrefix)
	return ok && validID(id)
}

// probeRename renames an empty file out of the spool and back: the only proof that both are
// on one mount, since the file system's numbers are the same on two mounts of it.
func probeRename(r *root) error {
	id := newID(time.Now(), rootTag)
	inside, outside := tmpDir+"/"+id, probePrefix+id
	f, err := r.create(inside)
	if err != nil {
		return err
	}
	f.Close()
	if err := r.rename(inside, outside, false); err != nil {
		r.remove(inside)
		return mountHint(err)
	}
	if err := r.rename(outside, inside, false); err != nil {
		r.remove(outside)
		return mountHint(err)
	}
	return r.remove(inside)
}

// folderID returns the folder's own id, making it the first time. Objects are named after
// it, so that two folders of one source never clean up each other's.
func folderID(r *root) (string, error) {
	for {
		f, err := r.open(folderFile)
		if err == nil {
			b, err := io.ReadAll(io.LimitReader(f, idLen+1))
			f.Close()
			if err == nil && !validID(string(b)) {
				err = fmt.Errorf("%w: %s does not hold an id; remove it", ErrUnusable, folderFile)
			}
			return string(b), err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		id := newID(time.Now(), rootTag)
		if err := writeFile(r, folderFile, []byte(id), false); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
}

// writeFile writes a file in the spool, durably and all at once. Without replace it fails
// with fs.ErrExist if there is one.
func writeFile(r *root, rel string, content []byte, replace bool) error {
	tmp := tmpDir + "/" + newID(time.Now(), rootTag)
	f, err := r.create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = r.rename(tmp, rel, replace)
	}
	if err != nil {
		r.remove(tmp)
		return err
	}
	return r.syncDir(path.Dir(rel))
}

// recover compares what is known of claimed files with what is there: it counts those that
// are new, forgets those that are gone, and publishes again what this watcher does not know
// and nobody has touched for minAge. At a start that is everything (minAge is 0).
func (s *session) recover(ctx context.Context, minAge time.Duration) error {
	if s.w.cfg.Claim == ClaimKeep && minAge == 0 { // later the ledger says nothing that is not known here
		if err := s.recount(); err != nil {
			return err
		}
	}
	if s.spool != s.root {
		return nil // nothing was ever claimed there
	}
	before := s.w.flight.ids()
	f, err := s.root.openDir(claimedDir)
	if err != nil {
		return err
	}
	defer f.Close()
	there := map[string]struct{}{}
	var found []*claimed
	for {
		entries, err := f.ReadDir(scanBatch)
		for _, d := range entries {
			id, base, whole, ok := splitClaimed(d.Name())
			if !ok {
				continue
			}
			there[id] = struct{}{}
			if c := s.adopt(id, d.Name(), base, whole, minAge); c != nil {
				found = append(found, c)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	// What was claimed while the folder was read may not have been seen: only what was
	// known before, and is not there, is gone.
	for _, id := range before {
		if _, ok := there[id]; !ok && s.w.flight.name(id) != "" {
			if _, err := s.root.lstat(claimedDir + "/" + s.w.flight.name(id)); isGone(err) {
				s.w.flight.finished(id)
			}
		}
	}
	s.workers.Go(func() { s.resume(ctx, found) })
	return ctx.Err()
}

// adopt counts a claimed file, and returns it if it is to be published: unless it is known,
// or so young that another watcher may be about to.
func (s *session) adopt(id, name, base string, whole bool, minAge time.Duration) *claimed {
	// An id of a time to come was made before the clock was set back.
	if time.Since(idTime(id)).Abs() < minAge || s.w.flight.has(id) {
		return nil
	}
	rel, err := s.paths.found(id, base, whole)
	if err != nil {
		// Where it was found is lost; its contents must not be.
		s.w.log.Error().Str("job", id).Err(err).Msg("a claimed file's folder is not on record, its path is lost")
		rel = base
	}
	if !s.w.flight.add(id, name, idTime(id)) {
		return nil
	}
	return &claimed{id: id, name: name, rel: rel}
}

// resume publishes files that were found claimed.
func (s *session) resume(ctx context.Context, found []*claimed) {
	for _, c := range found {
		if _, err := s.root.lstat(c.rel); isGone(err) {
			s.dropDoneFile(c.rel) // unless it belongs to a new file of the name
		}
		if s.w.flight.enter(ctx) != nil {
			return
		}
		s.workers.Go(func() {
			defer s.w.flight.leave()
			s.finish(ctx, c)
		})
	}
}
