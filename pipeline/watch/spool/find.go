package spool

import (
	"io/fs"
	"path"
	"path/filepath"

	"backburn/internal/rootfs"
)

// JobIDOf returns the job ID in the name of a file in the spool of a watched folder.
func JobIDOf(folder, name string) (id string, ok bool) {
	abs, err1 := filepath.Abs(name)
	root, err2 := filepath.Abs(folder)
	if err1 != nil || err2 != nil {
		return "", false
	}
	rel, err := filepath.Rel(filepath.Join(root, Dir), abs)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	id, _, _, ok = SplitName(filepath.Base(abs))

	return id, ok
}

// NewestJob returns the ID of the newest job among the claimed and kept files with this name, or
// "". It works with or without a running watcher.
func NewestJob(folder, base string) (id string, err error) {
	s, err := openSpool(folder)
	if rootfs.IsGone(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer s.Close()

	dirs, err := s.DoneFolders()
	if err != nil {
		return "", err
	}
	for _, dir := range append(dirs, Claimed) {
		err := s.Each(dir, func(name string) bool {
			if got, b, _, ok := SplitName(name); ok && b == base && got > id {
				id = got
			}
			return true
		})
		if err != nil && !rootfs.IsGone(err) {
			return "", err
		}
	}

	return id, nil
}

// OpenFailed opens the kept file of a failed job. likely is the name under which it was claimed, or
// "". It returns fs.ErrNotExist if there is no such file. The caller closes the file.
func OpenFailed(folder, id, likely string) (*rootfs.File, error) {
	s, err := openSpool(folder)
	if rootfs.IsGone(err) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	defer s.Close()

	if _, _, _, ok := SplitName(path.Base(likely)); ok {
		f, err := s.Open(Failed + "/" + path.Base(likely))
		if !rootfs.IsGone(err) {
			return f, err
		}
	}
	found := "" // the shortest name, because a sidecar's is longer
	err = s.Each(Failed, func(name string) bool {
		got, _, _, ok := SplitName(name)
		if ok && got == id && (found == "" || len(name) < len(found)) {
			found = name
		}
		return true
	})
	if err == nil && found == "" {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}

	return s.Open(Failed + "/" + found)
}

// openSpool opens the spool of a folder without changing it.
func openSpool(folder string) (*Spool, error) {
	root, err := rootfs.Open(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()

	return OpenExisting(root)
}

// DoneFolders returns the folders of finished files.
func (s *Spool) DoneFolders() (dirs []string, err error) {
	err = s.Each(Done, func(name string) bool {
		if s.CheckDir(Done+"/"+name) == nil {
			dirs = append(dirs, Done+"/"+name)
		}
		return true
	})
	if rootfs.IsGone(err) {
		err = nil
	}

	return dirs, err
}

// OpenExisting opens the spool below a folder without changing it. The caller closes it.
func OpenExisting(folder *rootfs.Root) (*Spool, error) {
	r, err := folder.Sub(Dir)
	if err != nil {
		return nil, err
	}

	return &Spool{Root: r, Paths: newPaths(r)}, nil
}
