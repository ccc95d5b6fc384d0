package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

const (
	// openFlags is empty: folders contain no pipes or devices.
	openFlags = 0
	// ClosesBeforeRename says whether a file must be closed before it is renamed.
	ClosesBeforeRename = true

	errLoop        = windows.ERROR_CANT_RESOLVE_FILENAME
	errNotDir      = windows.ERROR_DIRECTORY
	errCrossDevice = windows.ERROR_NOT_SAME_DEVICE
)

// openAttributes opens a file or folder only for its attributes. With the flag
// FILE_FLAG_OPEN_REPARSE_POINT it opens a link itself, not its target.
func openAttributes(name string, flags uint32) (windows.Handle, error) {
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	return windows.CreateFile(p, windows.FILE_READ_ATTRIBUTES,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|flags, 0)
}

func (r *Root) lstat(rel string) (State, error) {
	return stateOfName(pathBelow(r.path, rel), windows.FILE_FLAG_OPEN_REPARSE_POINT)
}

// StatPath returns the state of a file or folder by a name that the operator chose.
func StatPath(name string) (State, error) { return stateOfName(name, 0) }

func stateOfName(name string, flags uint32) (State, error) {
	h, err := openAttributes(name, flags)
	if err != nil {
		return State{}, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	defer windows.CloseHandle(h)

	return stateOfHandle(h)
}

func stateOfFile(f *os.File) (State, error) { return stateOfHandle(windows.Handle(f.Fd())) }

// basicInfo is FILE_BASIC_INFO (Win32, WinBase.h).
type basicInfo struct {
	creation, access, write, change int64 // in 100 ns since 1601
	attributes                      uint32
	_                               uint32
}

func stateOfHandle(h windows.Handle) (State, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return State{}, fmt.Errorf("stat: %w", err)
	}
	var basic basicInfo
	err := windows.GetFileInformationByHandleEx(h, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&basic)), uint32(unsafe.Sizeof(basic)))
	if err != nil {
		return State{}, fmt.Errorf("stat: %w", err)
	}
	const epoch = 116444736000000000 // from 1601 to 1970 in 100 ns
	ns := func(t int64) int64 { return (t - epoch) * 100 }
	dir := info.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0
	reparse := info.FileAttributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0

	return State{
		Identity: Identity{
			Dev:   uint64(info.VolumeSerialNumber),
			Ino:   uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow),
			Birth: ns(basic.creation),
		},
		Stamp: Stamp{
			Size:  int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow),
			Mtime: ns(basic.write), Ctime: ns(basic.change),
		},
		Dir:     dir && !reparse,
		Regular: !dir && !reparse,
		Links:   uint64(info.NumberOfLinks),
		Perm:    0o700,
	}, nil
}

// IsOwn is always true here: the access rights that a file inherits have to protect it.
func (s State) IsOwn() bool { return true }

// renamePath renames a file. It never replaces another; if there is one, it returns fs.ErrExist.
func renamePath(from, to string) error {
	pf, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	pt, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(pf, pt, windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}

	return nil
}

// syncDir has nothing to do: renames are written through.
func syncDir(*os.File) error { return nil }

// Sync makes the contents durable. Windows flushes only through a handle that may write; a
// read-only file is only as durable as its writer made it.
func (f *File) Sync() error {
	p, err := windows.UTF16PtrFromString(f.path)
	if err != nil {
		return err
	}
	h, err := windows.CreateFile(p, windows.GENERIC_WRITE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil, windows.OPEN_EXISTING, 0, 0)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer windows.CloseHandle(h)

	return windows.FlushFileBuffers(h)
}

// Writer reports whether any process has the file open for writing. It tries to open the file and
// share it only with readers, which fails while there is a writer.
func (f *File) Writer() (Writer, error) {
	p, err := windows.UTF16PtrFromString(f.path)
	if err != nil {
		return UnknownWriter, err
	}
	h, err := windows.CreateFile(p, windows.GENERIC_READ, windows.FILE_SHARE_READ|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, 0, 0)
	switch {
	case err == nil:
		windows.CloseHandle(h)
		return NoWriter, nil
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return HasWriter, nil
	}

	return UnknownWriter, fmt.Errorf("open without sharing: %w", err)
}

// SeesWriters reports whether this process can detect the writers of files.
func SeesWriters() bool { return true }

// FileSystem returns the properties of the file system.
func (r *Root) FileSystem() (FileSystem, error) {
	p, err := windows.UTF16PtrFromString(r.path)
	if err != nil {
		return FileSystem{}, err
	}
	var free, total, all uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, &total, &all); err != nil {
		return FileSystem{}, fmt.Errorf("free space: %w", err)
	}
	info := FileSystem{Kind: "local", Free: int64(free), Total: int64(total)}
	buf := make([]uint16, windows.MAX_LONG_PATH)
	if windows.GetVolumePathName(p, &buf[0], uint32(len(buf))) == nil && windows.GetDriveType(&buf[0]) == windows.DRIVE_REMOTE {
		info.Kind = "network drive"
		info.Remote = true
	}

	return info, nil
}

// IsTooLong reports whether a name is too long for the file system.
func IsTooLong(err error) bool {
	return errors.Is(err, windows.ERROR_FILENAME_EXCED_RANGE) || errors.Is(err, windows.ERROR_INVALID_NAME)
}

// IsNoSpace reports whether the file system is full.
func IsNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

func isNotDir(err error) bool { return errors.Is(err, windows.ERROR_DIRECTORY) }

// isForbiddenName refuses names with a special meaning on Windows: drives, streams, backslashes.
func isForbiddenName(rel string) bool {
	return strings.ContainsAny(rel, `\:`) || !filepath.IsLocal(filepath.FromSlash(rel))
}

// checkLinks does nothing here: creating symbolic links requires a privilege. Junctions do not, and
// are not detected.
func checkLinks(string) error { return nil }
