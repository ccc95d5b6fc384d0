//go:build unix

package rootfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// IsOwn reports whether a file belongs to this process's user, or to root.
func (s State) IsOwn() bool { return isOwn(s.UID) }

// isOwn reports whether an owner is this process's user, or the superuser.
func isOwn(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// IsTooLong reports whether a name is too long for the file system.
func IsTooLong(err error) bool { return errors.Is(err, unix.ENAMETOOLONG) }

// IsNoSpace reports whether the file system is full.
func IsNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// isNotDir reports whether a parent in the path is not a folder.
func isNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }

// isForbiddenName refuses no further names on this system.
func isForbiddenName(string) bool { return false }
