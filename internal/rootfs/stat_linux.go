package rootfs

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

const statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

func stateOf(st *unix.Statx_t) State {
	ns := func(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }
	s := State{
		Identity: Identity{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino},
		Stamp:    Stamp{Size: int64(st.Size), Mtime: ns(st.Mtime), Ctime: ns(st.Ctime)},
		Dir:      st.Mode&unix.S_IFMT == unix.S_IFDIR,
		Regular:  st.Mode&unix.S_IFMT == unix.S_IFREG,
		Links:    uint64(st.Nlink),
		UID:      st.Uid,
		Perm:     fs.FileMode(st.Mode & 0o777),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		s.Birth = ns(st.Btime)
	}

	return s
}

// fsync makes a file or the entries of a folder durable if the file system supports that: vboxsf
// and 9p do not for folders, and read-only file systems do not at all.
func fsync(fd int) error {
	_, err := retry(func() (int, error) { return 0, unix.Fsync(fd) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}

	return err
}

// retry repeats a system call that a signal has interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
