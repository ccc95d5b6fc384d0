package apart

import (
	"strconv"
	"strings"
)

// mount is a line of /proc/self/mountinfo: a region of a file system, and where it appears.
type mount struct {
	region
	point string
}

// parseMounts reads the text of /proc/self/mountinfo (proc_pid_mountinfo(5)). Lines that are
// none are passed over.
func parseMounts(text string) []mount {
	var all []mount
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[3], "/") {
			continue
		}
		all = append(all, mount{
			region: region{device: fields[2], path: unescape(fields[3])},
			point:  unescape(fields[4]),
		})
	}

	return all
}

// unescape replaces the kernel's octal escapes of blanks and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}

	return b.String()
}

// regions says where the contents of an absolute path without links are, and what is mounted
// below it.
func regions(mounts []mount, path string) (here region, mounted []region) {
	point := ""
	for _, m := range mounts {
		switch {
		case below(path, m.point):
			// Of several mounts on one point the last one is on top.
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
