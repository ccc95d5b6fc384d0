package spool

import (
	"errors"
	"time"

	"backburn/internal/rootfs"
)

// Sweep removes leftovers of crashes, and the records of folders that are gone. gone reports
// whether a subfolder of the watched folder is gone.
func (s *Spool) Sweep(gone func(dir string) bool) error {
	return errors.Join(s.sweepTmp(), s.sweepPaths(gone), s.sweepDescriptions())
}

// sweepDescriptions removes the descriptions of files that are no longer claimed.
func (s *Spool) sweepDescriptions() error {
	unused := map[string]bool{}
	err := s.Each(Beside, func(id string) bool {
		if IsLeftover(id) {
			unused[id] = true
		}
		return true
	})
	if rootfs.IsGone(err) || err == nil && len(unused) == 0 {
		return nil
	}

	if err == nil {
		err = s.Each(Claimed, func(name string) bool {
			if id, _, _, ok := SplitName(name); ok {
				delete(unused, id)
			}
			return true
		})
	}
	for id := range unused {
		if err == nil {
			err = s.RemoveDescription(id)
		}
	}

	return err
}

// sweepTmp removes partly written files.
func (s *Spool) sweepTmp() (err error) {
	listErr := s.Each(tmpDir, func(name string) bool {
		if IsLeftover(name) {
			err = removeIfExists(s.Root, tmpDir+"/"+name)
		}
		return err == nil
	})

	return errors.Join(err, listErr)
}

// sweepPaths removes the records of folders that are gone, and of files that are no longer claimed.
// There may be many, because some producers create a folder for every file. It first finds the
// folders that are gone, and then lists the claimed files: no file can be claimed from such a
// folder in between.
func (s *Spool) sweepPaths(gone func(dir string) bool) error {
	unused := map[string]string{} // name of the record to folder
	err := s.Each(pathsDir, func(tag string) bool {
		if IsLeftover(tag) {
			unused[tag] = "" // no tag, but the ID of a file with a hashed name
			return true
		}
		st, err := s.Lstat(pathsDir + "/" + tag)
		if err != nil || len(tag) != tagLen || time.Since(time.Unix(0, st.Mtime)) <= LeftoverAge {
			return true // young, not a tag, or just removed by another watcher
		}
		dir, err := s.Paths.read(tag)
		if err == nil && gone(dir) {
			unused[tag] = dir
		}
		return true
	})
	if err != nil || len(unused) == 0 {
		return err
	}

	err = s.Each(Claimed, func(name string) bool {
		if id, _, _, ok := SplitName(name); ok {
			delete(unused, IDTag(id))
			delete(unused, id)
		}
		return true
	})
	for tag, dir := range unused {
		if err == nil {
			err = s.Paths.drop(tag, dir)
		}
	}

	return err
}
