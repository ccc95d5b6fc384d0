package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/ledger"
	"backburn/pipeline/watch/settle"
)

// knownFiles recognizes files that have been submitted before and can be seen again. Without a
// ledger it recognizes nothing.
type knownFiles struct {
	*folder
	ledger  *ledger.Ledger // nil if no file can be seen again
	hashers *hashers
}

// openKnownFiles opens the ledger if the configuration needs one, or if one exists.
func openKnownFiles(f *folder, h *hashers) (*knownFiles, error) {
	m := &knownFiles{folder: f, hashers: h}
	exists, err := ledger.Exists(f.spool.Root)
	if err != nil {
		return nil, err
	}
	if exists || f.cfg.usesLedger() {
		m.ledger, err = ledger.Open(f.spool.Root)
	}

	return m, err
}

func (m *knownFiles) close() {
	if m.ledger != nil {
		m.ledger.Close()
	}
}

// get returns the record of a file.
func (m *knownFiles) get(i rootfs.Identity) (ledger.Record, bool) {
	if m.ledger == nil {
		return ledger.Record{}, false
	}

	return m.ledger.Get(m.relativeIdentity(i))
}

// has reports whether a file has been submitted in its present state, judged by its metadata.
func (m *knownFiles) has(st rootfs.State) bool {
	r, ok := m.get(st.Identity)
	if !ok || r.Size != st.Size || r.Mtime != st.Mtime {
		return false
	}
	if r.Pending {
		// The file is being restored. If the process that was restoring it is gone, only comparing
		// the contents can tell whether this is the same file.
		return m.w.inFlight.has(r.ID)
	}

	return r.Ctime == st.Ctime
}

// hasName is has for a name found by a scan. Known files thus take no room in memory.
func (m *knownFiles) hasName(rel string) bool {
	if m.ledger == nil {
		return false
	}
	st, err := m.root.Lstat(rel)

	return err == nil && st.Regular && m.has(st)
}

// checkContents checks a submitted file whose ctime has changed. If its contents are the same it
// returns settle.Forget. Without a birth time a different file may have the same inode, so the file
// is taken. When it returns settle.Take, f is at its start.
func (m *knownFiles) checkContents(ctx context.Context, rel string, f *rootfs.File, st rootfs.State) settle.Outcome {
	r, ok := m.get(st.Identity)
	if !ok || st.Birth == 0 || r.Size != st.Size || r.Mtime != st.Mtime || st.Size > m.cfg.MaxFileSize {
		return settle.Take
	}

	same, err := m.same(ctx, rel, f, st, r)
	switch {
	case errors.Is(err, errUnsettled):
		return settle.Changed
	case err != nil && isFileFault(err):
		m.reportTrouble(ctx, rel, cannotOpen, err)
		return settle.Failed
	case err != nil:
		m.reportFault(ctx, "ledger", err)
		return settle.Failed
	case same:
		m.w.health.set("ledger", "")
		return settle.Forget
	}
	f.Rewind()

	return settle.Take
}

func (m *knownFiles) same(ctx context.Context, rel string, f *rootfs.File, st rootfs.State, r ledger.Record) (bool, error) {
	sum, err := m.hashers.sum(ctx, f, st.Size, io.Discard)
	if err != nil || sum != r.SHA256 {
		return false, err
	}
	if err := checkUnchanged(f, st); err != nil {
		return false, err
	}

	r.Stamp = st.Stamp
	r.Rel = rel
	r.Pending = false

	return true, m.ledger.Update(m.relativeIdentity(st.Identity), r)
}

// maintain runs the ledger's maintenance. A session cannot work without its ledger, so an error
// ends the session.
func (m *knownFiles) maintain() error {
	if m.ledger == nil {
		return nil
	}

	err := m.ledger.Maintain(time.Now(), func(key []byte, r ledger.Record) bool {
		st, err := m.root.Lstat(r.Rel)
		if err != nil {
			return !rootfs.IsGone(err)
		}
		return string(ledger.Key(m.relativeIdentity(st.Identity))) == string(key)
	})
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}

	return nil
}
