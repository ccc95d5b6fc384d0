package apart

import (
	"strings"
)

// region is a part of a file system: a path and everything below it.
type region struct {
	device string // "major:minor"
	path   string // within the file system
}

func (r region) covers(o region) bool {
	return r.device != "" && r.device == o.device && below(o.path, r.path)
}

// below reports whether the absolute, slash-separated path is dir or below it.
func below(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// mount is a line of /proc/self/mountinfo: a region of a file system, and where it appears.
type mount struct {
	region
	point string
}
