// Package apart tells whether folders and files overlap: whether one contains the other, or
// they are one. Watched folders must overlap with nothing that is Backburn's own, or it would
// upload its own secrets.
//
// It goes by what the names lead to, not by their text. Symbolic links are followed, also
// those that lead to nothing yet. Folders and files are compared by device and inode. On
// Linux, bind mounts are followed as well: a folder also contains what is mounted below it.
//
// It looks at one moment. Whoever may change links and mounts can change the answer
// afterward, and a hard link of a file below a folder is not found by its folder: package guard
// looks at each file before it leaves.
package apart

import (
	"path/filepath"
	"strings"
)

// Relation says how the folder and the other path overlap.
func (p Places) Relation(folder, other string) Relation {
	for _, f := range readings(folder) {
		for _, o := range readings(other) {
			if r := relation(p.locate(f), p.locate(o)); r != Apart {
				return r
			}
		}
	}

	return Apart
}

// readings returns the path as the system reads it and, where that differs, as programs do
// that shorten "link/.." to nothing first.
func readings(path string) []string {
	if short := filepath.Clean(path); strings.Contains(path, "..") && short != path {
		return []string{path, short}
	}

	return []string{path}
}
