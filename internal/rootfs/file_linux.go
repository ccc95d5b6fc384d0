package rootfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

// File is a regular file that is open for reading. It is the bare descriptor: the runtime's
// poller has nothing to do for regular files, and these are opened by the thousand. It is for
// one goroutine at a time, but for Close.
type File struct {
	fd int

	mu     sync.Mutex
	reads  int // under way
	closed bool
}

// Read reads from where the file stands.
func (f *File) Read(p []byte) (int, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return 0, fmt.Errorf("read: %w", fs.ErrClosed)
	}
	f.reads++
	f.mu.Unlock()
	defer f.readEnded()

	for {
		n, err := unix.Read(f.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("read: %w", err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
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

// Rewind goes back to the start.
func (f *File) Rewind() { _, _ = unix.Seek(f.fd, 0, io.SeekStart) } // a regular file can always

// Data returns where the next bytes from at on are that are not a hole, of a file of the given
// size, and goes there; from and to are size where there are none.
func (f *File) Data(at, size int64) (from, to int64, err error) {
	from, err = unix.Seek(f.fd, at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case err != nil: // a file system that knows of no holes
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
// which may hang as its file system does: until that ends the descriptor stays taken, so that no
// other file can come in its place.
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

// Stat looks at the open file.
func (f *File) Stat() (State, error) {
	var st unix.Statx_t
	if err := unix.Statx(f.fd, "", unix.AT_EMPTY_PATH, statMask, &st); err != nil {
		return State{}, fmt.Errorf("fstat: %w", err)
	}

	return stateOf(&st), nil
}

// Sync makes the contents durable.
func (f *File) Sync() error { return fsync(f.fd) }

// Writer asks whether anybody on this machine has the file open for writing, or mapped so:
// the kernel grants a read lease only if nobody has. The lease is given back at once, since
// a writer who comes meanwhile would be kept waiting.
func (f *File) Writer() (Writer, error) {
	w, err := f.Hold()
	if w != NoWriter {
		return w, err
	}
	if _, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		return UnknownWriter, fmt.Errorf("give lease back: %w", err)
	}

	return NoWriter, nil
}

// Hold is Writer that keeps the answer true: with NoWriter, whoever wants to write waits until
// the file is closed here, or for as long as the kernel's lease-break-time. Held says whether
// nobody did.
func (f *File) Hold() (Writer, error) {
	_, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		return NoWriter, nil
	case errors.Is(err, unix.EAGAIN):
		return HasWriter, nil
	}

	return UnknownWriter, fmt.Errorf("take lease: %w", err)
}

// Held reports whether nobody wanted to write since Hold.
func (f *File) Held() bool {
	kind, err := unix.FcntlInt(uintptr(f.fd), unix.F_GETLEASE, 0)

	return err == nil && kind == unix.F_RDLCK
}

// SeesWriters reports whether this process learns of the writers of files that belong to
// others: it needs CAP_LEASE for that.
func SeesWriters() bool {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}

	return data[0].Effective&(1<<unix.CAP_LEASE) != 0
}
