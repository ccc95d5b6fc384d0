package watch

import (
	"context"
	"encoding/hex"
	"io"

	"backburn/internal/rootfs"
	"backburn/results"
)

// finishedFile is a claimed file whose job has ended.
type finishedFile struct {
	claimedFile
	event   results.Event
	state   rootfs.State
	leased  bool // no process can write to it while it is open
	action  string
	doneDir string // its folder in the spool
	sidecar []byte // nil without one
}

// matchesEvent opens a claimed file and reports whether it is the file that its event is about.
func (m *mover) matchesEvent(ctx context.Context, file *finishedFile) (bool, error) {
	if err := m.reopen(&file.claimedFile); err != nil {
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
	if st.Size > m.cfg.MaxFileSize || d.Size != 0 && d.Size != st.Size {
		return false, nil
	}
	sum, err := m.hashers.sum(ctx, file.f, st.Size, io.Discard)
	if err != nil {
		return false, err
	}

	return hex.EncodeToString(sum[:]) == d.SHA256, nil
}

// isUnchanged reports whether an open file has not changed since matchesEvent. Its name may have
// changed.
func (m *mover) isUnchanged(file *finishedFile) bool {
	if file.leased {
		return file.f.LeaseHeld()
	}
	now, err := file.f.Stat()

	return err == nil && now.Identity == file.state.Identity && now.Size == file.state.Size && now.Mtime == file.state.Mtime
}
