//go:build unix

package natsd

import (
	"fmt"

	"golang.org/x/sys/unix"

	"backburn/internal/config"
)

// FreeSpace returns the space, in bytes, that the file system of dir has left for unprivileged
// users.
func FreeSpace(dir string) (config.Size, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return config.Size(uint64(st.Bavail) * uint64(st.Bsize)), nil //nolint:unconvert // other systems have other types
}
