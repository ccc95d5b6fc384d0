//go:build unix

package watch_test

import "golang.org/x/sys/unix"

// syncDisk waits until all written data is on the disk.
func syncDisk() { unix.Sync() }
