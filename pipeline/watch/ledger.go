package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ledger remembers files that were handed over and can be seen again: those that are left
// in place, and those that were restored. It is written after a job is published, and the
// id of a job is derived from the file, so that a crash in between repeats a publication and
// never loses or doubles one. Safe for concurrent use.
type ledger struct {
	path string
	// lock is an empty store that stands for the ledger: whoever has it open has the ledger.
	// The ledger itself is exchanged when it shrinks, and a lock on it would be one on a
	// file that is gone.
	lock *bolt.DB

	mu sync.RWMutex // held for writing while db is exchanged
	db *bolt.DB

	// Owned by tend.
	cursor  []byte            // where the last round stopped
	missing map[string]uint64 // records whose file was not there, and in which round
	round   uint64
}

// Buckets.
var (
	filesBucket = []byte("files") // identity to record
	openBucket  = []byte("open")  // job id to when it was published; no final event yet
	finalBucket = []byte("final") // job id of which nothing else is known to when its final event came
)

const (
	ledgerWait    = time.Second        // for another watcher to let go of it
	finalKept     = 7 * 24 * time.Hour // how long a final event may be ahead of its record
	ledgerBatch   = 4096               // records looked at per tick
	shrinkAt      = 1 << 20            // bytes; smaller ledgers are left as they are
	recordVersion = 1
)

// record is what the ledger knows of a file.
type record struct {
	stamp
	pending bool     // being restored: ctime is not known yet
	sha256  [32]byte // zero for files that were too large to be hashed
	id      string   // of its job, 26 characters
	rel     string   // where it was last seen
}

func (r record) encode() []byte {
	b := []byte{recordVersion, 0}
	if r.pending {
		b[1] = 1
	}
	b = binary.BigEndian.AppendUint64(b, uint64(r.size))
	b = binary.BigEndian.AppendUint64(b, uint64(r.mtime))
	b = binary.BigEndian.AppendUint64(b, uint64(r.ctime))
	b = append(b, r.sha256[:]...)
	b = append(b, r.id...)
	return append(b, r.rel...)
}

func decodeRecord(b []byte) (r record, ok bool) {
	const fixed = 2 + 3*8 + 32 + idLen
	if len(b) < fixed || b[0] != recordVersion {
		return r, false
	}
	r.pending = b[1] == 1
	r.size = int64(binary.BigEndian.Uint64(b[2:]))
	r.mtime = int64(binary.BigEndian.Uint64(b[10:]))
	r.ctime = int64(binary.BigEndian.Uint64(b[18:]))
	copy(r.sha256[:], b[26:])
	r.id, r.rel = string(b[58:fixed]), string(b[fixed:])
	return r, true
}

func (i identity) key() []byte {
	b := binary.BigEndian.AppendUint64(nil, i.dev)
	b = binary.BigEndian.AppendUint64(b, i.ino)
	return binary.BigEndian.AppendUint64(b, uint64(i.btime))
}

// openLedger opens the ledger in the spool if the configuration needs one or there is one,
// else it returns nil.
func openLedger(cfg Config, spool *root) (*ledger, error) {
	name := filepath.Join(spool.path, spoolDir, ledgerFile)
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) && !cfg.usesLedger() {
		return nil, nil
	}
	lock, err := bolt.Open(name+".lock", 0o600, &bolt.Options{Timeout: ledgerWait})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, errors.New("the ledger is held by another watcher of this folder; standing by to take over")
	}
	if err != nil {
		return nil, fmt.Errorf("lock the ledger: %w", err)
	}
	l := &ledger{path: name, lock: lock, missing: map[string]uint64{}}
	if err := l.open(); err != nil {
		lock.Close()
		return nil, err
	}
	if err := l.shrink(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *ledger) open() error {
	db, err := bolt.Open(l.path, 0o600, &bolt.Options{Timeout: ledgerWait, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return fmt.Errorf("open the ledger %s: %w", l.path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{filesBucket, openBucket, finalBucket} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		db.Close()
		return fmt.Errorf("open the ledger %s: %w", l.path, err)
	}
	l.db = db
	return nil
}

func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.db.Close()
	l.lock.Close()
}

// get returns what is known of a file.
func (l *ledger) get(i identity) (r record, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	l.db.View(func(tx *bolt.Tx) error { // fails only when closed
		r, ok = decodeRecord(tx.Bucket(filesBucket).Get(i.key()))
		return nil
	})
	return r, ok
}

// batch runs a change durably, together with those of others that come at the same time.
func (l *ledger) batch(f func(tx *bolt.Tx) error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.db.Batch(f); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// published notes a file whose job was published, and that the job is open unless its final
// event came first.
func (l *ledger) published(i identity, r record, now time.Time) error {
	return l.batch(func(tx *bolt.Tx) error {
		if err := tx.Bucket(filesBucket).Put(i.key(), r.encode()); err != nil {
			return err
		}
		id, final := []byte(r.id), tx.Bucket(finalBucket)
		if final.Get(id) != nil {
			return final.Delete(id)
		}
		return tx.Bucket(openBucket).Put(id, timeKey(now))
	})
}

// touched notes that a file was seen elsewhere, or with another ctime, and is the same.
func (l *ledger) touched(i identity, r record) error {
	return l.batch(func(tx *bolt.Tx) error { return tx.Bucket(filesBucket).Put(i.key(), r.encode()) })
}

// finished notes a final event, and reports whether the job was open.
func (l *ledger) finished(id string, now time.Time) (wasOpen bool, err error) {
	err = l.batch(func(tx *bolt.Tx) error {
		open := tx.Bucket(openBucket)
		if wasOpen = open.Get([]byte(id)) != nil; wasOpen {
			return open.Delete([]byte(id))
		}
		return tx.Bucket(finalBucket).Put([]byte(id), timeKey(now))
	})
	return wasOpen, err
}

// isOpen reports whether a job was published and has no final event.
func (l *ledger) isOpen(id string) (open bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	l.db.View(func(tx *bolt.Tx) error { // fails only when closed
		open = tx.Bucket(openBucket).Get([]byte(id)) != nil
		return nil
	})
	return open
}

// openJobs returns the jobs without a final event, and when they were published.
func (l *ledger) openJobs() (map[string]time.Time, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	jobs := map[string]time.Time{}
	err := l.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(openBucket).ForEach(func(k, v []byte) error {
			jobs[string(k)] = keyTime(v)
			return nil
		})
	})
	return jobs, err
}

func timeKey(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano()))
}

func keyTime(b []byte) time.Time {
	if len(b) != 8 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC()
}

// tend looks at a part of the records, drops those whose file is gone, and gives space
// back when much has become free. there reports whether a record's file is where it was. A
// file counts as gone when it was not there in two rounds: one that was renamed within the
// folder is found again by a scan in between.
func (l *ledger) tend(there func(key []byte, r record) bool) error {
	var gone [][]byte
	n, done := 0, false
	l.mu.RLock()
	err := l.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(filesBucket).Cursor()
		k, v := c.Seek(l.cursor)
		for ; k != nil && n < ledgerBatch; k, v = c.Next() {
			n++
			r, ok := decodeRecord(v)
			switch {
			case ok && (r.pending || there(k, r)):
				delete(l.missing, string(k))
			case l.missing[string(k)] == 0:
				l.missing[string(k)] = l.round + 1
			case l.missing[string(k)] <= l.round:
				gone = append(gone, bytes.Clone(k))
				delete(l.missing, string(k))
			}
		}
		if done = k == nil; !done {
			l.cursor = bytes.Clone(k)
		}
		return nil
	})
	l.mu.RUnlock()
	if err != nil {
		return err
	}
	if err := l.drop(gone); err != nil {
		return err
	}
	if !done {
		return nil
	}
	l.cursor, l.round = nil, l.round+1
	return l.shrink()
}

// drop removes records, and final events that nothing came of.
func (l *ledger) drop(gone [][]byte) error {
	var stale [][]byte
	l.mu.RLock()
	err := l.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(finalBucket).ForEach(func(k, v []byte) error {
			if time.Since(keyTime(v)) > finalKept {
				stale = append(stale, bytes.Clone(k))
			}
			return nil
		})
	})
	l.mu.RUnlock()
	if err != nil || len(gone)+len(stale) == 0 {
		return err
	}
	return l.batch(func(tx *bolt.Tx) error {
		for _, k := range gone {
			if err := tx.Bucket(filesBucket).Delete(k); err != nil {
				return err
			}
		}
		for _, k := range stale {
			if err := tx.Bucket(finalBucket).Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// shrink rewrites the ledger when more than half of it is free.
func (l *ledger) shrink() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var used int64 // of the file; it grows ahead of what is used
	if err := l.db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		return err
	}
	stats := l.db.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(l.db.Info().PageSize)
	if used < shrinkAt || free*2 < used {
		return nil
	}
	tmp := l.path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dst, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: ledgerWait})
	if err != nil {
		return err
	}
	err = bolt.Compact(dst, l.db, 1<<20)
	if err = errors.Join(err, dst.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, l.path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := l.db.Close(); err != nil {
		return err
	}
	return l.open()
}
