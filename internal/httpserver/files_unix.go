//go:build unix

package httpserver

import "golang.org/x/sys/unix"

// openFiles returns how many files the process may open; 0 if unknown.
func openFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}

	return uint64(limit.Cur) //nolint:unconvert // signed on some systems
}
