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

// memory tells files that were handed over before from new ones, where they can be seen again. It
// remembers nothing where there is no ledger.
type memory struct {
	*folder
	ledger  *ledger.Ledger // nil where nothing is seen again
	hashers *hashers
}

// openMemory opens the ledger if the configuration needs one, or there is one.
func openMemory(f *folder, h *hashers) (*memory, error) {
	m := &memory{folder: f, hashers: h}
	there, err := ledger.Exists(f.spool.Root)
	if err != nil {
		return nil, err
	}
	if there || f.cfg.usesLedger() {
		m.ledger, err = ledger.Open(f.spool.Root)
	}

	return m, err
}

func (m *memory) close() {
	if m.ledger != nil {
		m.ledger.Close()
	}
}

// get returns what is known of a file.
func (m *memory) get(i rootfs.Identity) (ledger.Record, bool) {
	if m.ledger == nil {
		return ledger.Record{}, false
	}

	return m.ledger.Get(m.own(i))
}

// known reports whether a file was handed over before, as it is now, going by what the file
// system says of it.
func (m *memory) known(st rootfs.State) bool {
	r, ok := m.get(st.Identity)
	if !ok || r.Size != st.Size || r.Mtime != st.Mtime {
		return false
	}
	if r.Pending {
		// It is about to be restored. Where the process that did so is no more, nobody knows
		// whether it still is what was restored: its contents have to tell.
		return m.w.inFlight.has(r.ID)
	}

	return r.Ctime == st.Ctime
}

// knownName is known for a name that a scan found, so that it need not be remembered.
func (m *memory) knownName(rel string) bool {
	if m.ledger == nil {
		return false
	}
	st, err := m.root.Lstat(rel)

	return err == nil && st.Regular && m.known(st)
}

// compare says of a file that was handed over before, and whose ctime changed since, whether it
// still has the contents that it had: then there is nothing to do with it. Without a birth time it
// may be another file in the same inode, and is taken. f is at its start when it is to be taken.
func (m *memory) compare(ctx context.Context, rel string, f *rootfs.File, st rootfs.State) settle.Outcome {
	r, ok := m.get(st.Identity)
	if !ok || st.Birth == 0 || r.Size != st.Size || r.Mtime != st.Mtime || st.Size > m.cfg.MaxFileSize {
		return settle.Take
	}

	same, err := m.same(ctx, rel, f, st, r)
	switch {
	case errors.Is(err, errUnsettled):
		return settle.Changed
	case err != nil && fileFault(err):
		m.troubled(ctx, rel, cannotOpen, err)
		return settle.Failed
	case err != nil:
		m.fault(ctx, "ledger", err)
		return settle.Failed
	case same:
		m.part("ledger", "")
		return settle.Forget
	}
	f.Rewind()

	return settle.Take
}

func (m *memory) same(ctx context.Context, rel string, f *rootfs.File, st rootfs.State, r ledger.Record) (bool, error) {
	sum, err := m.hashers.sum(ctx, f, st.Size, io.Discard)
	if err != nil || sum != r.SHA256 {
		return false, err
	}
	if err := unchanged(f, st); err != nil {
		return false, err
	}

	r.Stamp = st.Stamp
	r.Rel = rel
	r.Pending = false

	return true, m.ledger.Touched(m.own(st.Identity), r)
}

// tend lets the ledger look after itself. Nothing goes on without it, so its faults end the
// session.
func (m *memory) tend() error {
	if m.ledger == nil {
		return nil
	}

	err := m.ledger.Tend(time.Now(), func(key []byte, r ledger.Record) bool {
		st, err := m.root.Lstat(r.Rel)
		if err != nil {
			return !rootfs.IsGone(err)
		}
		return string(ledger.Key(m.own(st.Identity))) == string(key)
	})
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}

	return nil
}
