package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"backburn/internal/config"
	"backburn/pipeline"
)

// claimedName matches what a watcher calls a claimed file: the job's id, and its name.
var claimedName = regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{26})-(.+)$`)

// claimedBy tells the job of a file that lies in the spool of a watched folder, and its source.
func claimedBy(path string, cfg config.Config) (source, id string, ok bool) {
	m := claimedName.FindStringSubmatch(filepath.Base(path))
	abs, err := filepath.Abs(path)
	if m == nil || err != nil {
		return "", "", false
	}
	for _, w := range cfg.Watch {
		root, err := filepath.Abs(w.Path)
		if err == nil && strings.HasPrefix(abs, filepath.Join(root, pipeline.SpoolDir)+string(filepath.Separator)) {
			return w.Source, m[1], true
		}
	}
	return "", "", false
}

// claimedFor looks for a file that is not there any more among those that watchers of the folders
// hold, or have put aside. id is "" where there is none; of several the newest counts.
func claimedFor(path string, cfg config.Config) (id, source string, err error) {
	base := filepath.Base(path)
	for _, w := range cfg.Watch {
		if filepath.Dir(path) != "." && !below(path, w.Path) {
			continue
		}
		spool := filepath.Join(w.Path, pipeline.SpoolDir)
		outcomes, err := readDir(filepath.Join(spool, "done"))
		if err != nil {
			return "", "", err
		}
		dirs := []string{filepath.Join(spool, "claimed")}
		for _, o := range outcomes {
			if o.IsDir() {
				dirs = append(dirs, filepath.Join(spool, "done", o.Name()))
			}
		}
		for _, dir := range dirs {
			entries, err := readDir(dir)
			if err != nil {
				return "", "", err
			}
			for _, e := range entries {
				if m := claimedName.FindStringSubmatch(e.Name()); m != nil && m[2] == base && m[1] > id {
					id, source = m[1], w.Source
				}
			}
		}
	}
	return id, source, nil
}

// readDir lists a folder; one that is not there is empty.
func readDir(name string) ([]os.DirEntry, error) {
	entries, err := os.ReadDir(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

// below reports whether a path is in a folder, by its spelling.
func below(path, folder string) bool {
	p, err1 := filepath.Abs(path)
	f, err2 := filepath.Abs(folder)
	return err1 == nil && err2 == nil && strings.HasPrefix(p, f+string(filepath.Separator))
}
