package rootfs

import "io/fs"

// State is what the file system says about a file.
type State struct {
	Identity
	Stamp
	Dir     bool
	Regular bool
	Links   uint64      // number of names
	UID     uint32      // of the owner; 0 on Windows
	Perm    fs.FileMode // permission bits; 0700 on Windows
}

// Identity tells a file from all others that exist and, with the birth time, also from those
// that had its inode before.
type Identity struct {
	Dev, Ino uint64
	Birth    int64 // nanoseconds since 1970; 0 where the file system keeps none
}

// Stamp changes when a file does, except under a writer that has it mapped. Times are in
// nanoseconds since 1970.
type Stamp struct {
	Size         int64 // bytes
	Mtime, Ctime int64
}

// Same reports whether two looks found the same file, unchanged.
func (s State) Same(o State) bool { return s.Identity == o.Identity && s.Stamp == o.Stamp }

// Writer is the answer to whether somebody has a file open for writing.
type Writer uint8

// Answers.
const (
	NoWriter      Writer = iota
	HasWriter            // somebody on this machine has
	UnknownWriter        // the system cannot say, or does not let this process know
)

// FileSystem is what is known of a file system.
type FileSystem struct {
	Kind   string // as mount(8) calls it, where that is known
	Remote bool   // others may write to it unseen by this kernel
	Free   int64  // bytes that this process may use
	Total  int64  // bytes; 0 where the file system does not say
}

// Full reports whether less than floor bytes are free. It says no for file systems that do not
// know their size.
func (i FileSystem) Full(floor int64) bool { return i.Free < floor && i.Total > 0 }
