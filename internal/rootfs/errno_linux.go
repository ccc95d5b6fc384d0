package rootfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// IsTooLong reports whether a name is too long for the file system.
func IsTooLong(err error) bool { return errors.Is(err, unix.ENAMETOOLONG) }

// IsNoSpace reports whether the file system is full.
func IsNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// isNotDir reports whether a folder on the way to a name is none.
func isNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }

// checkSystem has nothing to add here.
func checkSystem(_, _ string) error { return nil }
