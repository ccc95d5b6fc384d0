package needs

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Tmpfs mounts a separate file system at a folder until the test ends, with options such as
// "size=4m". It creates the folder if necessary.
func Tmpfs(t testing.TB, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	Mount(t, "tmpfs", dir, "tmpfs", 0, options)
}

// Mount mounts a file system until the test ends.
func Mount(t testing.TB, source, target, kind string, flags uintptr, options string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		CannotRun(t, "mounting %s needs CAP_SYS_ADMIN: %v", target, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

// immutable is FS_IMMUTABLE_FL (linux/fs.h).
const immutable = 0x10

// Immutable makes a file such that not even root can rename it, until the test ends or calls clear.
func Immutable(t testing.TB, name string) (clear func()) {
	t.Helper()
	if err := mark(name, immutable); err != nil {
		CannotRun(t, "immutable files need root and a file system that has them: %v", err)
	}

	t.Cleanup(func() { _ = mark(name, 0) })

	return func() {
		t.Helper()
		if err := mark(name, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// mark sets the mark of an immutable file, or clears it.
func mark(name string, to uint32) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}

	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags&^immutable|to))
}
