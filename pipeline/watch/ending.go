package watch

import (
	"context"
	"encoding/hex"
	"io"

	"backburn/internal/rootfs"
	"backburn/results"
)

// ending is a claimed file whose job has ended.
type ending struct {
	claimedFile
	e       results.Event
	state   rootfs.State
	held    bool // no process can write to it while it is open
	action  string
	done    string // its folder in the spool
	sidecar []byte // nil without one
}

// vouch opens a claimed file and reports whether it is the file that its event is about.
func (m *mover) vouch(ctx context.Context, g *ending) (bool, error) {
	if err := m.reopen(&g.claimedFile); err != nil {
		if g.action == AfterKeep && rootfs.CauseOf(err) == rootfs.Denied {
			return true, nil // it only moves within the spool, and stays unreadable
		}
		return false, err
	}

	writer, _ := g.f.Hold()
	if writer == rootfs.HasWriter {
		return false, errUnsettled
	}
	g.held = writer == rootfs.NoWriter
	st, err := g.f.Stat()
	if err != nil {
		return false, err
	}
	g.state = st

	d := g.e.Data
	if d.SHA256 == "" { // too large to be hashed
		return d.Size == 0 || d.Size == st.Size, nil
	}
	if st.Size > m.cfg.MaxFileSize || d.Size != 0 && d.Size != st.Size {
		return false, nil
	}
	sum, err := m.hashers.sum(ctx, g.f, st.Size, io.Discard)
	if err != nil {
		return false, err
	}

	return hex.EncodeToString(sum[:]) == d.SHA256, nil
}

// still reports whether an open file has not changed since vouch. Its name may have changed.
func (m *mover) still(g *ending) bool {
	if g.held {
		return g.f.Held()
	}
	now, err := g.f.Stat()

	return err == nil && now.Identity == g.state.Identity && now.Size == g.state.Size && now.Mtime == g.state.Mtime
}
