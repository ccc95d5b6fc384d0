package apart

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxLinks limits how many dangling links are followed, like the kernel's limit.
const maxLinks = 40

// location is the target of a path.
type location struct {
	chain   []fs.FileInfo // the path itself or its nearest existing folder, then each parent folder
	missing []string      // the names below chain[0] that do not exist yet
	here    region        // where its contents are; zero if unknown
	mounted []region      // file systems mounted below it
}

// relation compares two locations.
func relation(folder, other location) Relation {
	contains, inside := folder.contains(other), other.contains(folder)
	switch {
	case contains && inside:
		return Same
	case contains:
		return Contains
	case inside:
		return Inside
	}

	return Apart
}

// contains reports whether o is l or below it.
func (l location) contains(o location) bool {
	if l.here.covers(o.here) {
		return true
	}
	if slices.ContainsFunc(l.mounted, func(m region) bool { return m.covers(o.here) }) {
		return true
	}
	if len(l.chain) == 0 || len(o.chain) == 0 {
		return false
	}

	if len(l.missing) > 0 {
		return os.SameFile(l.chain[0], o.chain[0]) &&
			len(o.missing) >= len(l.missing) && slices.Equal(l.missing, o.missing[:len(l.missing)])
	}

	return slices.ContainsFunc(o.chain, func(info fs.FileInfo) bool { return os.SameFile(l.chain[0], info) })
}

func (p Places) locate(path string) location {
	real, missing := resolve(path)
	l := location{missing: missing}
	for at := real; ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil {
			l.chain = append(l.chain, info)
		}
		if filepath.Dir(at) == at {
			break
		}
	}

	full := filepath.Join(append([]string{real}, missing...)...)
	l.here, l.mounted = regions(p.mounts, full)

	return l
}

// resolve follows all links of a path. It returns the part that exists, absolute and without
// links, and the names below it that do not exist.
func resolve(path string) (real string, missing []string) {
	path = absolute(path)
	up := 0 // how many ".." follow path
	for links := 0; ; {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			for ; up > 0; up-- {
				real = filepath.Dir(real)
			}

			return real, missing
		}

		parent, name := split(path)
		if parent == path {
			return path, missing
		}

		// A dangling link: a file written through it is created at the target.
		if target, err := os.Readlink(path); err == nil && links < maxLinks {
			links++
			if !filepath.IsAbs(target) {
				target = realOf(parent) + string(filepath.Separator) + target
			}

			path = target
			continue
		}

		path = parent
		switch {
		case name == "" || name == ".":
		case name == "..":
			up++
		case up > 0:
			up--
		default:
			missing = append([]string{name}, missing...)
		}
	}
}

// split returns the folder and the last element of an absolute path. Unlike filepath.Dir it keeps
// "..", which has another meaning after a link. The folder of a root is the root.
func split(path string) (folder, name string) {
	folder, name = filepath.Split(path)
	volume := filepath.VolumeName(folder)
	rest := strings.TrimRightFunc(folder[len(volume):], func(r rune) bool { return r < 0x80 && os.IsPathSeparator(uint8(r)) })
	if rest == "" {
		return volume + string(filepath.Separator), name
	}

	return volume + rest, name
}

// realOf returns path with its links resolved, or path itself if it does not exist.
func realOf(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}

	return path
}

// absolute returns path as an absolute path. Unlike filepath.Abs it keeps "..", which has another
// meaning after a link.
func absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	dir, err := os.Getwd()
	if err != nil {
		return path
	}

	return dir + string(filepath.Separator) + path
}

// regions returns where the contents of an absolute path without links are, and the regions mounted
// below it.
func regions(mounts []mount, path string) (here region, mounted []region) {
	point := ""
	for _, m := range mounts {
		switch {
		case below(path, m.point):
			// Of several mounts at the same point, the last one is visible.
			if len(m.point) >= len(point) {
				rest := strings.Trim(strings.TrimPrefix(path, m.point), "/")
				here, point = region{m.device, strings.TrimRight(m.path, "/") + "/" + rest}, m.point
			}
		case below(m.point, path):
			mounted = append(mounted, m.region)
		}
	}

	if here.path != "/" {
		here.path = strings.TrimRight(here.path, "/")
	}

	return here, mounted
}
