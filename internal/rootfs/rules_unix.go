//go:build unix

package rootfs

import "os"

// isOwn reports whether an owner is this process's user, or the superuser.
func isOwn(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }
