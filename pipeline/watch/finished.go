package watch

import (
	"context"
	"encoding/hex"
	"io"
	"sync"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/settle"
	"backburn/pipeline/watch/spool"
	"backburn/results"
)

// claimedFile is a file in spool.Claimed: its job is to be published or, in a finishedFile, has
// ended.
type claimedFile struct {
	id             string
	name           string         // in spool.Claimed
	rel            string         // where it was found, relative to the watched folder
	f              *rootfs.File   // open, or nil
	settled        bool           // it has been unchanged for long enough
	history        settle.History // unused once settled
	maybePublished bool           // its job may have been published before
}

func (c *claimedFile) close() {
	if c.f != nil {
		c.f.Close()
		c.f = nil
	}
}

func (c *claimedFile) path() string { return spool.Claimed + "/" + c.name }

// reopen opens a claimed file if it is not open.
func (f *folder) reopen(c *claimedFile) (err error) {
	if c.f == nil {
		c.f, err = f.spool.Open(c.path())
	}

	return err
}

// originalPath returns the path where a claimed file was found. If that is not recorded, it returns
// base, so that the contents are submitted in any case.
func (f *folder) originalPath(id, base string, whole bool) string {
	rel, err := f.spool.Paths.Original(id, base, whole)
	if err != nil {
		f.w.log.Error().Str("job", id).Err(err).Msg("the original folder of a claimed file is not recorded; its path is lost")
		return base
	}

	return rel
}

// finishedFile is a claimed file whose job has ended.
type finishedFile struct {
	claimedFile
	event   results.Event
	state   rootfs.State
	leased  bool // f has a lease, so isUnchanged sees every new writer
	action  string
	doneDir string // its folder in the spool
	sidecar []byte // nil without one
}

// finisher disposes of claimed files when their jobs have ended.
type finisher struct {
	*folder
	known   *knownFiles
	hashers *hashers
	syncer  *syncer
	copies  *copies
	hints   *hints
	recheck func() // makes the maintainer check the folder

	mu          sync.Mutex
	resubmitted []*claimedFile // with a new ID, and not yet published under it
}

// matchesEvent opens a claimed file and reports whether it is the file that its event is about.
func (f *finisher) matchesEvent(ctx context.Context, file *finishedFile) (bool, error) {
	if err := f.reopen(&file.claimedFile); err != nil {
		if file.action == AfterKeep && rootfs.CauseOf(err) == rootfs.Denied {
			return true, nil // it only moves within the spool, and stays unreadable
		}
		return false, err
	}

	writer, _ := file.f.HoldLease()
	if writer == rootfs.HasWriter {
		return false, errUnsettled
	}
	file.leased = writer == rootfs.NoWriter
	st, err := file.f.Stat()
	if err != nil {
		return false, err
	}
	file.state = st

	d := file.event.Data
	if d.SHA256 == "" { // too large to be hashed
		return d.Size == 0 || d.Size == st.Size, nil
	}
	if st.Size > f.cfg.MaxFileSize || d.Size != 0 && d.Size != st.Size {
		return false, nil
	}
	sum, err := f.hashers.sum(ctx, file.f, st.Size, io.Discard)
	if err != nil {
		return false, err
	}

	return hex.EncodeToString(sum[:]) == d.SHA256, nil
}

// isUnchanged reports whether an open file has not changed since matchesEvent. Its name may have
// changed.
func (f *finisher) isUnchanged(file *finishedFile) bool {
	if file.leased {
		return file.f.LeaseHeld()
	}
	now, err := file.f.Stat()

	return err == nil && now.Identity == file.state.Identity && now.Size == file.state.Size && now.Mtime == file.state.Mtime
}
