// Package spool is a watcher's own folder, .backburn below the one that it watches.
//
// It knows the layout, the names of claimed files and the ids in them, and where a claimed
// file was found. Watchers use it, and commands that look for a job's file.
//
//	claimed/<id>-<name>         claimed and not yet finished; what jobs refer to
//	done/<verdict>/<id>-<name>  finished and kept; done/failed for failures
//	beside/<id>                 what lay beside a claimed file
//	paths/<tag>                 the folders that claimed files were found in
//	tmp/                        what is being written
//	folder                      the folder's own id
//	ledger.db                   what was handed over and can be seen again
//
// The spool is held open from Open on and belongs to the watcher's user alone. Whoever may
// write to the watched folder can exchange the name .backburn, but not what is worked on.
package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"backburn/internal/rootfs"
)

// ErrUnusable is matched by errors that waiting does not mend.
var ErrUnusable = errors.New("this cannot work")

// Spool is a spool that is held open. Safe for concurrent use until Close.
type Spool struct {
	*rootfs.Root
	Paths *Paths
}

// Open makes what is missing of the spool below a folder, tries it out and opens it. The caller
// closes it.
func Open(folder *rootfs.Root) (*Spool, error) {
	err := folder.Mkdir(Dir, 0o700)
	switch {
	case err == nil:
		if err := folder.SyncDir(""); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; the watcher needs to write to the folder", err)
	case !errors.Is(err, fs.ErrExist):
		return nil, err
	}

	r, err := folder.Sub(Dir)
	if rootfs.IsBlocked(err) {
		return nil, fmt.Errorf("%w: %s is not a folder; remove it (%w)", ErrUnusable, Dir, err)
	}
	if err != nil {
		return nil, mountHint(err)
	}
	s := &Spool{Root: r, Paths: newPaths(r)}
	if err := s.prepare(folder); err != nil {
		s.Close()
		return nil, err
	}

	return s, nil
}

func (s *Spool) prepare(folder *rootfs.Root) error {
	if err := s.guard(); err != nil {
		return err
	}
	for _, dir := range []string{Claimed, Done, tmpDir, pathsDir} {
		if err := s.MkdirAll(dir, 0o700); err != nil {
			return mountHint(err)
		}
	}
	for _, dir := range []string{Claimed, tmpDir, pathsDir} {
		if err := s.Keep(dir); err != nil {
			return mountHint(err)
		}
	}

	return s.probeRename(folder)
}

// guard makes sure that nobody else can reach into the spool.
func (s *Spool) guard() error {
	st, err := s.Stat()
	if err != nil {
		return err
	}
	if !st.Ours() {
		return fmt.Errorf("%w: %s belongs to another user, who could exchange what was claimed; remove it", ErrUnusable, Dir)
	}
	if st.Perm&0o022 != 0 {
		if err := s.ChmodDir("", st.Perm&^0o022); err != nil {
			return fmt.Errorf("%s is writable by others: %w", Dir, err)
		}
	}

	return nil
}

// mountHint explains the error of a spool that is a mount of its own.
func mountHint(err error) error {
	if errors.Is(err, rootfs.ErrOtherMount) {
		return fmt.Errorf("%w: %s is on another mount than the folder, and files cannot be claimed by renaming them; "+
			"unmount it, so that it is a plain folder (%w)", ErrUnusable, Dir, err)
	}

	return err
}

// probeRename renames an empty file out of the spool and back: the only proof that both are
// on one mount, since the file system's numbers are the same on two mounts of it.
func (s *Spool) probeRename(folder *rootfs.Root) error {
	inside := s.Temp()
	outside := probeName(inside)
	f, err := s.Create(inside)
	if err != nil {
		return err
	}
	f.Close()

	if err := rootfs.Move(s.Root, inside, folder, outside); err != nil {
		_ = s.Remove(inside)
		return mountHint(err)
	}
	if err := rootfs.Move(folder, outside, s.Root, inside); err != nil {
		_ = folder.Remove(outside)
		return mountHint(err)
	}

	return s.Remove(inside)
}

// FolderID returns the folder's own id, and makes it the first time. Objects are named after
// it, so that two folders of one source never clean up each other's.
func (s *Spool) FolderID() (string, error) {
	for {
		b, err := s.ReadFile(folderFile, idLen)
		switch {
		case err == nil && ValidID(string(b)):
			return string(b), nil
		case err == nil, errors.Is(err, rootfs.ErrTooLarge), errors.Is(err, rootfs.ErrNotRegular):
			return "", fmt.Errorf("%w: %s/%s does not hold an id; remove it", ErrUnusable, Dir, folderFile)
		case !rootfs.IsGone(err):
			return "", err
		}

		id := NewID(time.Now(), RootTag)
		if err := s.Write(folderFile, []byte(id), false); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
}

// Temp is a new name for something that is being written.
func (s *Spool) Temp() string { return tmpDir + "/" + NewID(time.Now(), RootTag) }

// Write writes a file in the spool, durably and all at once. Without replace it fails with
// fs.ErrExist if there is one.
func (s *Spool) Write(rel string, content []byte, replace bool) error {
	return s.WriteFile(rel, content, rootfs.Write{Temp: s.Temp(), Keep: !replace})
}

// Take moves a file of the watched folder into Claimed, under a name that begins with id, and
// returns the name. The true name is on record, durably, before the file has lost it.
func (s *Spool) Take(folder *rootfs.Root, rel, id string) (name string, err error) {
	base := baseOf(rel)
	name, whole := ClaimedName(id, base)
	if whole {
		err := rootfs.Move(folder, rel, s.Root, Claimed+"/"+name)
		if !rootfs.IsTooLong(err) {
			return name, err
		}
		name = hashed(id, base)
	}

	if err := s.Paths.record(id, rel); err != nil {
		return "", err
	}
	if err := rootfs.Move(folder, rel, s.Root, Claimed+"/"+name); err != nil {
		_ = s.Paths.Forget(id)
		return "", err
	}

	return name, nil
}

// TakeBeside moves what lies beside a claimed file into the spool. It fails with fs.ErrExist where
// that was done before.
func (s *Spool) TakeBeside(folder *rootfs.Root, rel, id string) error {
	to := Beside + "/" + id
	err := rootfs.Move(folder, rel, s.Root, to)
	if !rootfs.IsGone(err) {
		return err
	}
	if err := s.MkdirAll(Beside, 0o700); err != nil {
		return err
	}

	return rootfs.Move(folder, rel, s.Root, to)
}

// ForgetBeside removes what TakeBeside moved, if there is anything.
func (s *Spool) ForgetBeside(id string) error {
	err := s.Remove(Beside + "/" + id)
	if rootfs.IsGone(err) {
		return nil
	}

	return err
}

// Rename gives a claimed file another id, and returns its new name.
func (s *Spool) Rename(name, id, newID, rel string) (newName string, err error) {
	newName = newID + name[len(id):]
	if err := rootfs.Move(s.Root, Beside+"/"+id, s.Root, Beside+"/"+newID); err != nil && !rootfs.IsGone(err) {
		return "", err
	}
	if _, _, whole, _ := SplitName(name); !whole {
		if err := s.Paths.record(newID, rel); err != nil {
			return "", err
		}
	}

	return newName, rootfs.Move(s.Root, Claimed+"/"+name, s.Root, Claimed+"/"+newName)
}

// FindClaimed returns the name in Claimed of a file with the given id, or "" if there is none.
// Names that are likely are tried first.
func (s *Spool) FindClaimed(id string, likely ...string) (string, error) {
	for _, name := range likely {
		if name == "" {
			continue
		}
		_, err := s.Lstat(Claimed + "/" + name)
		if err == nil || !rootfs.IsGone(err) {
			return name, err
		}
	}

	found := ""
	err := s.Each(Claimed, func(name string) bool {
		if got, _, _, ok := SplitName(name); ok && got == id {
			found = name
		}
		return found == ""
	})

	return found, err
}

// batch is how many entries of a folder are read at once.
const batch = 512

// Each calls visit with the names in a folder of the spool, in no order, until it returns false.
func (s *Spool) Each(dir string, visit func(name string) bool) error {
	f, err := s.OpenDir(dir)
	if err != nil {
		return err
	}
	defer f.Close()

	for {
		entries, err := f.ReadDir(batch)
		for _, d := range entries {
			if !visit(d.Name()) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
