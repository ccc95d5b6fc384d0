package apart

import (
	"strconv"
	"strings"
)

// parseMounts reads the text of /proc/self/mountinfo (proc_pid_mountinfo(5)). Invalid lines are
// skipped.
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

// unescape replaces the kernel's octal escapes of white space and backslashes.
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
