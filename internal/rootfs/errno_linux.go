package rootfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// IsTooLong reports whether a name is too long for the file system.
func IsTooLong(err error) bool { return errors.Is(err, unix.ENAMETOOLONG) }

// IsNoSpace reports whether the file system is full.
func IsNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// isNotDir reports whether a parent in the path is not a folder.
func isNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }

// checkSystem needs no further rules on this system.
func checkSystem(_, _ string) error { return nil }
