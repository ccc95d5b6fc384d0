//go:build unix

package config

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// accessible asks the kernel whether the effective user of this process may access the folder.
func accessible(dir string, want access) error {
	flags := uint32(unix.R_OK | unix.X_OK)
	if want == write {
		flags |= unix.W_OK
	}

	if err := unix.Faccessat(unix.AT_FDCWD, dir, flags, unix.AT_EACCESS); err != nil {
		if want == write {
			return fmt.Errorf("cannot be read and written by this user: %w", err)
		}
		return fmt.Errorf("cannot be read by this user: %w", err)
	}

	return nil
}
