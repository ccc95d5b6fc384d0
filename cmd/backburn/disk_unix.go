//go:build unix

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// freeOn is what the file system of a folder has left for users without privileges, in bytes.
func freeOn(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil //nolint:gosec,unconvert // types differ by system
}
