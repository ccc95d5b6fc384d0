// Package apart determines whether files and folders overlap: whether they are the same, or one
// contains the other. Watched folders must not overlap with Backburn's own files, or Backburn would
// upload its own secrets.
//
// It compares the targets of paths, not their text. Symbolic links are followed, including links to
// targets that do not exist yet. Folders and files are compared by device and inode. On Linux, bind
// mounts are followed as well: a folder also contains what is mounted below it.
//
// The answer is for one moment: links and mounts may change afterwards. A hard link to a file
// inside a folder is not detected. Therefore package guard checks each file before it is uploaded.
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

// readings returns the path as the system resolves it. If programs that first remove "link/.."
// would get another path, it returns that one too.
func readings(path string) []string {
	if short := filepath.Clean(path); strings.Contains(path, "..") && short != path {
		return []string{path, short}
	}

	return []string{path}
}
