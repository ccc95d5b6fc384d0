// Package spool manages a watcher's own folder, .backburn in the watched folder.
//
// It defines the layout, the names of claimed files and the job IDs in them, and records where
// claimed files were found. Watchers use it, and so do commands that look for a job's file.
//
//	claimed/<id>-<name>         claimed and unfinished; jobs refer to these files
//	done/<verdict>/<id>-<name>  finished and kept; done/failed for failures
//	beside/<id>                 the description of a claimed file
//	paths/<tag>                 the folders in which claimed files were found
//	tmp/                        partly written files
//	folder                      the folder's own ID
//	ledger.db, ledger.db.lock   submitted files that scans still find in the folder
//
// The spool belongs to the watcher's user alone, and is held open. Somebody who can write to the
// watched folder can replace the entry .backburn, but cannot reach the open spool.
package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"backburn/internal/rootfs"
)

// ErrUnusable is matched by errors that persist until somebody changes the folder or the
// configuration.
var ErrUnusable = errors.New("the folder cannot be watched as configured")

// Spool is an open spool. Safe for concurrent use until Close.
type Spool struct {
	*rootfs.Root
	Paths *Paths
}

// Open opens and tests the spool below a folder, and creates what is missing of it. The caller
// closes the spool.
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
	if err := s.checkAccess(); err != nil {
		return err
	}
	for _, dir := range []string{Claimed, Done, tmpDir, pathsDir} {
		err := s.MkdirAll(dir, 0o700)
		if err == nil && dir != Done {
			err = s.KeepOpen(dir)
		}
		if err != nil {
			return mountHint(err)
		}
	}

	return s.probeRename(folder)
}

// checkAccess ensures that no other user can write to the spool.
func (s *Spool) checkAccess() error {
	st, err := s.Stat()
	if err != nil {
		return err
	}
	if !st.IsOwn() {
		return fmt.Errorf("%w: %s belongs to another user, who could replace claimed files; remove it", ErrUnusable, Dir)
	}
	if st.Perm&0o022 != 0 {
		if err := s.ChmodDir("", st.Perm&^0o022); err != nil {
			return fmt.Errorf("%s is writable by others: %w", Dir, err)
		}
	}

	return nil
}

// mountHint explains an error that occurs because the spool is on a mount of its own.
func mountHint(err error) error {
	if errors.Is(err, rootfs.ErrOtherMount) {
		return fmt.Errorf("%w: %s is on another mount than the folder, and files cannot be claimed by renaming them; "+
			"unmount it, so that it is a plain folder (%w)", ErrUnusable, Dir, err)
	}

	return err
}

// probeRename renames an empty file out of the spool and back. Only this proves that both folders
// are on one mount: two mounts of the same file system have the same device number.
func (s *Spool) probeRename(folder *rootfs.Root) error {
	inside := s.Temp()
	outside := probePrefix + path.Base(inside)
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

// FolderID returns the folder's own ID and creates it if necessary. The names of objects contain
// it, so that the watchers of two folders with the same source do not remove each other's objects.
func (s *Spool) FolderID() (string, error) {
	for {
		b, err := s.ReadFile(folderFile, idLen)
		switch {
		case err == nil && ValidID(string(b)):
			return string(b), nil
		case err == nil, errors.Is(err, rootfs.ErrTooLarge), errors.Is(err, rootfs.ErrNotRegular):
			return "", fmt.Errorf("%w: %s/%s does not contain an ID; remove it", ErrUnusable, Dir, folderFile)
		case !rootfs.IsGone(err):
			return "", err
		}

		id := NewID(time.Now(), RootTag)
		if err := s.Write(folderFile, []byte(id), false); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
}

// Temp returns a new name for a file that is being written.
func (s *Spool) Temp() string { return tmpDir + "/" + NewID(time.Now(), RootTag) }

// Write writes a file in the spool, durably and atomically. Without replace it returns fs.ErrExist
// if the file exists.
func (s *Spool) Write(rel string, content []byte, replace bool) error {
	return s.WriteFile(rel, content, rootfs.Write{Temp: s.Temp(), NoReplace: !replace})
}

// Claim moves a file from the watched folder into Claimed, under a name that begins with id, and
// returns the new name. If the original name cannot be part of the new one, Claim first records
// the original path durably.
func (s *Spool) Claim(folder *rootfs.Root, rel, id string) (name string, err error) {
	base := path.Base(rel)
	name, whole := ClaimedName(id, base)
	if whole {
		err := rootfs.Move(folder, rel, s.Root, Claimed+"/"+name)
		if !rootfs.IsTooLong(err) {
			return name, err
		}
		name = hashedName(id, base)
	}

	if err := s.Paths.record(id, rel); err != nil {
		return "", err
	}
	if err := rootfs.Move(folder, rel, s.Root, Claimed+"/"+name); err != nil {
		_ = s.Paths.Remove(id)
		return "", err
	}

	return name, nil
}

// TakeDescription moves the description of a claimed file into the spool. It returns fs.ErrExist if
// the spool already has one.
func (s *Spool) TakeDescription(folder *rootfs.Root, rel, id string) error {
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

// RemoveDescription removes what TakeDescription moved, if anything.
func (s *Spool) RemoveDescription(id string) error { return removeIfExists(s.Root, Beside+"/"+id) }

// ChangeID renames a claimed file, so that it has another ID, and returns its new name. rel is the
// file's original path. Its description, if any, gets the new ID too. After an error the file and
// its description have the old ID.
func (s *Spool) ChangeID(name, id, newID, rel string) (newName string, err error) {
	newName = newID + name[len(id):]
	if _, _, whole, _ := SplitName(name); !whole {
		if err := s.Paths.record(newID, rel); err != nil {
			return "", err
		}
	}

	err = rootfs.Move(s.Root, Beside+"/"+id, s.Root, Beside+"/"+newID)
	if err == nil || rootfs.IsGone(err) {
		described := err == nil
		err = rootfs.Move(s.Root, Claimed+"/"+name, s.Root, Claimed+"/"+newName)
		if err != nil && described {
			_ = rootfs.Move(s.Root, Beside+"/"+newID, s.Root, Beside+"/"+id)
		}
	}
	if err != nil {
		_ = s.Paths.Remove(newID)
		return "", err
	}

	return newName, nil
}

// FindClaimed returns the name in Claimed of the file with the given ID, or "". It tries the likely
// names first.
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

// Each calls visit with each name in a folder of the spool, in no particular order, until visit
// returns false.
func (s *Spool) Each(dir string, visit func(name string) bool) error {
	for e, err := range s.Entries(dir) {
		if err != nil {
			return err
		}
		if !visit(e.Name()) {
			break
		}
	}

	return nil
}
