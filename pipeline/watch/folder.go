package watch

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"backburn/pipeline"
)

// The layout below the watched folder. Names are relative to it and slash-separated, as all
// names in this package are.
const (
	spoolDir   = pipeline.SpoolDir
	claimedDir = spoolDir + "/claimed" // <id>-<name>: claimed and not yet finished
	doneDir    = spoolDir + "/done"    // <verdict>/<id>-<name>
	tmpDir     = spoolDir + "/tmp"     // what is being written
	pathsDir   = spoolDir + "/paths"   // where claimed files were found, see paths
	folderFile = spoolDir + "/folder"  // the folder's own id
	ledgerFile = "ledger.db"           // in spoolDir, or in Config.StateDir
)

// fileState is what the file system says about a file. Times are in nanoseconds since
// 1970.
type fileState struct {
	identity
	stamp
	dir     bool
	regular bool
	nlink   uint64
	uid     uint32 // of the owner
}

// identity tells a file from all others that exist, and with the birth time also from those
// that had its inode before.
type identity struct {
	dev, ino uint64
	btime    int64 // 0 where the file system keeps none
}

// stamp changes when a file does, except under a writer that holds it mapped.
type stamp struct {
	size         int64
	mtime, ctime int64
}

// same reports whether two looks found the same file, unchanged.
func (s fileState) same(o fileState) bool { return s.identity == o.identity && s.stamp == o.stamp }

// writerState is the answer to whether somebody has a file open for writing.
type writerState uint8

const (
	writerNone    writerState = iota
	writerBusy                // somebody on this machine has
	writerUnknown             // the system can't say, or won't tell us
)

// fsInfo is what there is to know about the file system of the folder.
type fsInfo struct {
	kind   string // as mount(8) calls it, where it is known
	remote bool   // others may write to it unseen by this kernel
	free   int64  // bytes that we may use
	total  int64
}

// full reports whether less than so many bytes are free. Some file systems don't say how large
// they are.
func (i fsInfo) full(floor int64) bool { return i.free < floor && i.total > 0 }

// errNotRegular is returned for whatever is not a regular file: links, devices, pipes.
var errNotRegular = errors.New("not a regular file")

// spoolRel reports whether rel is the spool or in it.
func spoolRel(rel string) bool {
	return rel == spoolDir || strings.HasPrefix(rel, spoolDir+"/")
}

// mkdirAll makes the folder rel and those on the way to it, each durable, with permissions
// for the owner alone when private.
func (r *root) mkdirAll(rel string, private bool) error {
	perm := fs.FileMode(0o777)
	if private {
		perm = 0o700
	}
	for i := 0; i <= len(rel); i++ {
		if i < len(rel) && rel[i] != '/' {
			continue
		}
		err := r.mkdir(rel[:i], perm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := r.syncDir(path.Dir(rel[:i])); err != nil {
			return err
		}
	}
	return nil
}
