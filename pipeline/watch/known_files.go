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
	k := &knownFiles{folder: f, hashers: h}
	exists, err := ledger.Exists(f.spool.Root)
	if err != nil {
		return nil, err
	}
	if exists || f.cfg.usesLedger() {
		k.ledger, err = ledger.Open(f.spool.Root)
	}

	return k, err
}

func (k *knownFiles) close() {
	if k.ledger != nil {
		k.ledger.Close()
	}
}

// get returns the record of a file.
func (k *knownFiles) get(i rootfs.Identity) (ledger.Record, bool) {
	if k.ledger == nil {
		return ledger.Record{}, false
	}

	return k.ledger.Get(k.relativeIdentity(i))
}

// has reports whether a file has been submitted in its present state, judged by its size and times.
// It does not read the file.
func (k *knownFiles) has(st rootfs.State) bool {
	r, ok := k.get(st.Identity)
	if !ok || r.Size != st.Size || r.Mtime != st.Mtime {
		return false
	}
	if r.Restoring {
		// The file is being restored. If the process that was restoring it is gone, only comparing
		// the contents can tell whether this is the same file.
		return k.w.inFlight.has(r.ID)
	}

	return r.Ctime == st.Ctime
}

// hasName does the same as has, for a name that a scan found. Scans use it to skip known files,
// which then need no place in hints.
func (k *knownFiles) hasName(rel string) bool {
	if k.ledger == nil {
		return false
	}
	st, err := k.root.Lstat(rel)

	return err == nil && st.Regular && k.has(st)
}

// checkContents checks a submitted file whose ctime has changed. If its contents are the same it
// returns settle.Forget. A file without a birth time is taken in any case, because it may be a
// different file with the same inode. When it returns settle.Take, f is at its start.
func (k *knownFiles) checkContents(ctx context.Context, rel string, f *rootfs.File, st rootfs.State) settle.Outcome {
	r, ok := k.get(st.Identity)
	if !ok || st.Birth == 0 || r.Size != st.Size || r.Mtime != st.Mtime || st.Size > k.cfg.MaxFileSize {
		return settle.Take
	}

	same, err := k.updateIfSame(ctx, rel, f, st, r)
	switch {
	case errors.Is(err, errUnsettled):
		return settle.Changed
	case err != nil:
		k.reportError(ctx, rel, cannotOpen, "ledger", err)
		return settle.Failed
	case same:
		k.w.health.set("ledger", "")
		return settle.Forget
	}
	f.Rewind()

	return settle.Take
}

// updateIfSame reports whether a file has the contents of its record. If so, it updates the record.
func (k *knownFiles) updateIfSame(ctx context.Context, rel string, f *rootfs.File, st rootfs.State, r ledger.Record) (bool, error) {
	sum, err := k.hashers.sum(ctx, f, st.Size, io.Discard)
	if err != nil || sum != r.SHA256 {
		return false, err
	}
	if err := checkUnchanged(f, st); err != nil {
		return false, err
	}

	r.Stamp = st.Stamp
	r.Rel = rel
	r.Restoring = false

	return true, k.ledger.Update(k.relativeIdentity(st.Identity), r)
}

// maintain runs the ledger's maintenance. A session cannot work without its ledger, so an error
// ends the session. But it can work with a ledger that is larger than necessary, so it continues if
// Shrink fails.
func (k *knownFiles) maintain(ctx context.Context) error {
	if k.ledger == nil {
		return nil
	}

	err := k.ledger.Maintain(time.Now(), func(key []byte, r ledger.Record) bool {
		st, err := k.root.Lstat(r.Rel)
		if err != nil {
			return !rootfs.IsGone(err)
		}
		return string(ledger.Key(k.relativeIdentity(st.Identity))) == string(key)
	})
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := k.ledger.Shrink(); err != nil {
		k.reportFault(ctx, "ledger", fmt.Errorf("shrink it: %w", err))
	}

	return nil
}
