package main

import (
	"path/filepath"
	"strings"

	"backburn/internal/config"
	"backburn/pipeline/watch/spool"
)

// jobOfSpoolFile returns the job ID and the source of a file in the spool of a watched folder.
func jobOfSpoolFile(path string, cfg config.Config) (source, id string, ok bool) {
	for _, w := range cfg.Watch {
		if id, ok := spool.JobIDOf(w.Path, path); ok {
			return w.Source, id, true
		}
	}

	return "", "", false
}

// newestJobForPath looks for a file that no longer exists at its path, among the claimed and
// finished files of the watched folders. id is "" if there is none. If there are several, it
// returns the newest.
func newestJobForPath(path string, cfg config.Config) (id, source string, err error) {
	for _, w := range cfg.Watch {
		if filepath.Dir(path) != "." && !isBelow(path, w.Path) {
			continue
		}

		found, err := spool.NewestJob(w.Path, filepath.Base(path))
		if err != nil {
			return "", "", err
		}

		if found > id {
			id = found
			source = w.Source
		}
	}

	return id, source, nil
}

// isBelow reports whether a path is in a folder. It compares names only and resolves no links.
func isBelow(path, folder string) bool {
	p, err1 := filepath.Abs(path)
	f, err2 := filepath.Abs(folder)

	return err1 == nil && err2 == nil && strings.HasPrefix(p, f+string(filepath.Separator))
}
