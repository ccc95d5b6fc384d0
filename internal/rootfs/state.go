package rootfs

import "io/fs"

// State has the attributes of a file.
type State struct {
	Identity
	Stamp
	Dir     bool
	Regular bool
	Links   uint64      // number of names
	UID     uint32      // of the owner; 0 on Windows
	Perm    fs.FileMode // permission bits; 0700 on Windows
}

// Identity distinguishes a file from all others and, with the birth time, from earlier files with
// the same inode.
type Identity struct {
	Dev, Ino uint64
	Birth    int64 // nanoseconds since 1970; 0 if the file system has none
}

// Stamp changes when the file changes, except by a writer that has it mapped. Times are in
// nanoseconds since 1970.
type Stamp struct {
	Size         int64 // bytes
	Mtime, Ctime int64
}

// Same reports whether both states are of the same, unchanged file.
func (s State) Same(o State) bool { return s.Identity == o.Identity && s.Stamp == o.Stamp }

// Writer says whether a process has a file open for writing.
type Writer uint8

// The values of Writer.
const (
	NoWriter      Writer = iota
	HasWriter            // a process on this machine has it open
	UnknownWriter        // the system or this process cannot tell
)

// FileSystem has the properties of a file system.
type FileSystem struct {
	Kind   string // its name in mount(8), if known
	Remote bool   // other machines may write to it without this kernel's knowledge
	Free   int64  // bytes that this process may use
	Total  int64  // bytes; 0 if unknown
}

// Full reports whether less than floor bytes are free. It returns false if the size is unknown.
func (i FileSystem) Full(floor int64) bool { return i.Free < floor && i.Total > 0 }
