package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

// File is a regular file that is open for reading. It is a bare descriptor, because the runtime's
// poller is useless for regular files and thousands of them are opened. It is for one goroutine at
// a time, but Close may be called during a Read.
type File struct {
	fd int

	mu     sync.Mutex
	reads  int // in progress
	closed bool
}

// Read reads from the current offset.
func (f *File) Read(p []byte) (int, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return 0, fmt.Errorf("read: %w", fs.ErrClosed)
	}
	f.reads++
	f.mu.Unlock()
	defer f.readEnded()

	n, err := retry(func() (int, error) { return unix.Read(f.fd, p) })
	switch {
	case err != nil:
		return 0, fmt.Errorf("read: %w", err)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}

	return n, nil
}

// readEnded releases the descriptor if Close left that to this read.
func (f *File) readEnded() {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.reads--
	if f.closed && f.reads == 0 {
		unix.Close(f.fd)
		f.fd = -1
	}
}

// Rewind sets the offset to the start.
func (f *File) Rewind() { _, _ = unix.Seek(f.fd, 0, io.SeekStart) } // always works for a regular file

// NextData searches a file of the given size, from the offset at, for the next range without a
// hole, and sets the file's offset to the start of that range. from and to are size if there is
// none.
func (f *File) NextData(at, size int64) (from, to int64, err error) {
	from, err = unix.Seek(f.fd, at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case err != nil: // a file system without support for holes
		from, to = at, size
	default:
		if to, err = unix.Seek(f.fd, from, unix.SEEK_HOLE); err != nil {
			to = size
		}
	}

	from, to = min(from, size), min(to, size)
	_, err = unix.Seek(f.fd, from, io.SeekStart)

	return from, to, err
}

// Close closes the file. Later calls do nothing. It does not wait for a read of another goroutine,
// which may hang with its file system. The descriptor stays in use until that read ends, so that it
// cannot be reused for another file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.closed {
		return nil
	}
	f.closed = true
	if f.reads > 0 {
		return nil
	}

	err := unix.Close(f.fd)
	f.fd = -1

	return err
}

// Stat returns the state of the open file.
func (f *File) Stat() (State, error) {
	var st unix.Statx_t
	if err := unix.Statx(f.fd, "", unix.AT_EMPTY_PATH, statMask, &st); err != nil {
		return State{}, fmt.Errorf("fstat: %w", err)
	}

	return stateOf(&st), nil
}

// Sync makes the contents durable.
func (f *File) Sync() error { return fsync(f.fd) }

// Writer reports whether any process on this machine has the file open or mapped for writing: the
// kernel grants a read lease only if there is no writer. On overlayfs it does not see a file that
// is only mapped. Writer releases the lease at once, because it would delay new writers.
func (f *File) Writer() (Writer, error) {
	w, err := f.HoldLease()
	if w != NoWriter {
		return w, err
	}
	if _, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		return UnknownWriter, fmt.Errorf("release lease: %w", err)
	}

	return NoWriter, nil
}

// HoldLease is Writer, but it keeps the lease: after NoWriter, a new writer has to wait until the
// file is closed here, at most for the kernel's lease-break-time. LeaseHeld reports whether there
// was no new writer.
func (f *File) HoldLease() (Writer, error) {
	_, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		return NoWriter, nil
	case errors.Is(err, unix.EAGAIN):
		return HasWriter, nil
	}

	return UnknownWriter, fmt.Errorf("take lease: %w", err)
}

// LeaseHeld reports whether no process has tried to write since HoldLease.
func (f *File) LeaseHeld() bool {
	kind, err := unix.FcntlInt(uintptr(f.fd), unix.F_GETLEASE, 0)

	return err == nil && kind == unix.F_RDLCK
}

// SeesWriters reports whether this process can detect writers of other users' files, which requires
// CAP_LEASE.
func SeesWriters() bool {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}

	return data[0].Effective&(1<<unix.CAP_LEASE) != 0
}
