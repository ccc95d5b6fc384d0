package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

const (
	// openFlags has nothing to add: there are no pipes or devices in folders.
	openFlags = 0
	// closesBeforeRename says whether an open file can't be renamed.
	closesBeforeRename = true
	// eventsByDefault says whether Watch = "auto" uses file system events.
	eventsByDefault = true
)

// openAttributes opens a file or folder just to look at it, the link itself if it is one.
func openAttributes(name string, flags uint32) (windows.Handle, error) {
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	return windows.CreateFile(p, windows.FILE_READ_ATTRIBUTES,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|flags, 0)
}

// lstat looks at rel without opening its contents.
func (r *root) lstat(rel string) (fileState, error) {
	if rel == "" {
		return r.stat()
	}
	return lookAt(r.name(rel), windows.FILE_FLAG_OPEN_REPARSE_POINT)
}

// statPath looks at a folder by its name.
func statPath(name string) (fileState, error) { return lookAt(name, 0) }

func lookAt(name string, flags uint32) (fileState, error) {
	h, err := openAttributes(name, flags)
	if err != nil {
		return fileState{}, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	defer windows.CloseHandle(h)
	return stateOfHandle(h)
}

func stateOfFile(f *os.File) (fileState, error) { return stateOfHandle(windows.Handle(f.Fd())) }

// basicInfo is FILE_BASIC_INFO (Win32, WinBase.h).
type basicInfo struct {
	creation, access, write, change int64 // in 100 ns since 1601
	attributes                      uint32
	_                               uint32
}

func stateOfHandle(h windows.Handle) (fileState, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return fileState{}, fmt.Errorf("stat: %w", err)
	}
	var basic basicInfo
	err := windows.GetFileInformationByHandleEx(h, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&basic)), uint32(unsafe.Sizeof(basic)))
	if err != nil {
		return fileState{}, fmt.Errorf("stat: %w", err)
	}
	const epoch = 116444736000000000 // from 1601 to 1970 in 100 ns
	ns := func(t int64) int64 { return (t - epoch) * 100 }
	dir := info.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0
	reparse := info.FileAttributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0
	return fileState{
		identity: identity{
			dev:   uint64(info.VolumeSerialNumber),
			ino:   uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow),
			btime: ns(basic.creation),
		},
		stamp: stamp{
			size:  int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow),
			mtime: ns(basic.write), ctime: ns(basic.change),
		},
		dir:     dir && !reparse,
		regular: !dir && !reparse,
		nlink:   uint64(info.NumberOfLinks),
	}, nil
}

// privateTo relies on the access rights that the folder inherits.
func (r *root) privateTo(rel string) (ours bool, perm fs.FileMode, err error) {
	_, err = r.r.Lstat(rel)
	return true, 0o700, err
}

// renamePath renames a file; it never overwrites and fails with fs.ErrExist.
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

// syncPath has nothing to do: renames are written through.
func syncPath(string) error { return nil }

// sync makes the contents durable. Windows flushes only through a handle that may write; a
// file that is read-only keeps the durability that its writer gave it.
func (f *file) sync() error {
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

// writer asks whether anybody has the file open for writing: an open that shares with
// readers alone is refused if so.
func (f *file) writer() (writerState, error) {
	p, err := windows.UTF16PtrFromString(f.path)
	if err != nil {
		return writerUnknown, err
	}
	h, err := windows.CreateFile(p, windows.GENERIC_READ, windows.FILE_SHARE_READ|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, 0, 0)
	switch {
	case err == nil:
		windows.CloseHandle(h)
		return writerNone, nil
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
		return writerBusy, nil
	}
	return writerUnknown, fmt.Errorf("open without sharing: %w", err)
}

// statFS asks the file system about itself.
func (r *root) statFS() (fsInfo, error) {
	p, err := windows.UTF16PtrFromString(r.path)
	if err != nil {
		return fsInfo{}, err
	}
	var free, total, all uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, &total, &all); err != nil {
		return fsInfo{}, fmt.Errorf("free space: %w", err)
	}
	info := fsInfo{kind: "local", free: int64(free), total: int64(total)}
	buf := make([]uint16, windows.MAX_LONG_PATH)
	if windows.GetVolumePathName(p, &buf[0], uint32(len(buf))) == nil && windows.GetDriveType(&buf[0]) == windows.DRIVE_REMOTE {
		info.kind, info.remote = "network drive", true
	}
	return info, nil
}

func isCrossDevice(err error) bool { return errors.Is(err, windows.ERROR_NOT_SAME_DEVICE) }
func isTooLong(err error) bool {
	return errors.Is(err, windows.ERROR_FILENAME_EXCED_RANGE) || errors.Is(err, windows.ERROR_INVALID_NAME)
}
func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
func isNotDir(err error) bool { return errors.Is(err, windows.ERROR_DIRECTORY) }
