package main

import (
	"path/filepath"
	"strings"

	"backburn/internal/config"
	"backburn/pipeline/watch/spool"
)

// claimedBy returns the job of a file that lies in the spool of a watched folder, and its source.
func claimedBy(path string, cfg config.Config) (source, id string, ok bool) {
	for _, w := range cfg.Watch {
		if id, ok := spool.Owner(w.Path, path); ok {
			return w.Source, id, true
		}
	}

	return "", "", false
}

// claimedFor looks for a file that is not there any more among those that watchers of the folders
// hold, or have put aside. id is "" where there is none; of several the newest counts.
func claimedFor(path string, cfg config.Config) (id, source string, err error) {
	for _, w := range cfg.Watch {
		if filepath.Dir(path) != "." && !below(path, w.Path) {
			continue
		}
		found, err := spool.Newest(w.Path, filepath.Base(path))
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

// below reports whether a path is in a folder, by its spelling.
func below(path, folder string) bool {
	p, err1 := filepath.Abs(path)
	f, err2 := filepath.Abs(folder)

	return err1 == nil && err2 == nil && strings.HasPrefix(p, f+string(filepath.Separator))
}
