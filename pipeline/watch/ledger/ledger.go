// Package ledger records files that have been submitted and can be seen again: files that are left
// in place, and files that were restored. It has nothing to do with the stream LEDGER, the ledger
// of the fleet.
//
// A file that is left in place gets its record after its job is published, and the job ID is
// derived from the file. So a crash in between leads to a repeated publication with the same ID; no
// job is lost or duplicated. A restored file gets its record before it reappears in the folder. The
// ledger is a bbolt database in the watcher's spool.
package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"backburn/internal/rootfs"
)

// Ledger is an open ledger. Safe for concurrent use.
type Ledger struct {
	root *rootfs.Root // the spool
	// lock is an empty database that locks the ledger. The ledger's own file cannot serve as the
	// lock, because shrinking replaces it.
	lock *bolt.DB

	mu sync.RWMutex // held for writing while db is replaced
	db *bolt.DB

	// Used only by Maintain.
	cursor  []byte               // where the last call stopped
	missing map[string]time.Time // since when the file of a record has been missing, by the record's key
}

// Buckets.
var (
	filesBucket = []byte("files") // identity to record
	openBucket  = []byte("open")  // job ID to time of publication; jobs without a final event
	finalBucket = []byte("final") // job ID to time of the final event, for jobs without a record
)

const (
	fileName      = "ledger.db"        // in the spool
	lockWait      = time.Second        // how long Open waits for another watcher to release the lock
	dropAfter     = time.Hour          // how long a file must be missing before its record is dropped
	finalExpiry   = 7 * 24 * time.Hour // how long a final event waits for its record
	recordBatch   = 4096               // records checked by one call of Maintain
	shrinkAt      = 1 << 20            // bytes; smaller ledgers are not rewritten
	recordVersion = 1
)

// Record is the ledger's entry for one file.
type Record struct {
	rootfs.Stamp
	Restoring bool     // being restored, and Ctime is not known yet
	SHA256    [32]byte // zero for files that are too large to be hashed
	ID        string   // job ID, 26 characters
	Rel       string   // where it was last seen
}

// Encode returns the stored form of a record.
func (r Record) Encode() []byte {
	b := []byte{recordVersion, 0}
	if r.Restoring {
		b[1] = 1
	}
	b = binary.BigEndian.AppendUint64(b, uint64(r.Size))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Mtime))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Ctime))
	b = append(b, r.SHA256[:]...)
	b = append(b, r.ID...)

	return append(b, r.Rel...)
}

// DecodeRecord decodes the stored form of a record.
func DecodeRecord(b []byte) (r Record, ok bool) {
	const fixed = 2 + 3*8 + 32 + 26
	if len(b) < fixed || b[0] != recordVersion {
		return r, false
	}
	r.Restoring = b[1] == 1
	r.Size = int64(binary.BigEndian.Uint64(b[2:]))
	r.Mtime = int64(binary.BigEndian.Uint64(b[10:]))
	r.Ctime = int64(binary.BigEndian.Uint64(b[18:]))
	copy(r.SHA256[:], b[26:])
	r.ID = string(b[58:fixed])
	r.Rel = string(b[fixed:])

	return r, true
}

// Key returns the key of a file's record.
func Key(i rootfs.Identity) []byte {
	b := binary.BigEndian.AppendUint64(nil, i.Dev)
	b = binary.BigEndian.AppendUint64(b, i.Ino)

	return binary.BigEndian.AppendUint64(b, uint64(i.Birth))
}

// ErrLocked is returned by Open while another process has the ledger open.
var ErrLocked = errors.New("the ledger is held by another watcher of this folder; standing by to take over")

// Exists reports whether there is a ledger in a spool.
func Exists(spool *rootfs.Root) (bool, error) {
	_, err := spool.Lstat(fileName)
	if rootfs.IsGone(err) {
		return false, nil
	}

	return err == nil, err
}

// Open opens the ledger in a spool and creates it if necessary. The caller closes it, before the
// spool.
func Open(spool *rootfs.Root) (*Ledger, error) {
	lock, err := openDB(spool, fileName+".lock")
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("lock the ledger: %w", err)
	}

	l := &Ledger{
		root:    spool,
		lock:    lock,
		missing: map[string]time.Time{},
	}
	if err := l.open(); err != nil {
		lock.Close()
		return nil, err
	}

	return l, nil
}

// openDB opens a database in the spool, even if the spool's path now leads elsewhere.
func openDB(spool *rootfs.Root, name string) (*bolt.DB, error) {
	return bolt.Open(name, 0o600, &bolt.Options{
		Timeout:      lockWait,
		OpenFile:     spool.OpenFile,
		FreelistType: bolt.FreelistMapType,
	})
}

func (l *Ledger) open() error {
	db, err := openDB(l.root, fileName)
	if err != nil {
		return fmt.Errorf("open the ledger %s in %s: %w", fileName, l.root.Name(), err)
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
		return fmt.Errorf("open the ledger %s in %s: %w", fileName, l.root.Name(), err)
	}
	l.db = db

	return nil
}

// Close closes the ledger, and releases its lock.
func (l *Ledger) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.db.Close()
	l.lock.Close()
}

// Get returns the record of a file.
func (l *Ledger) Get(i rootfs.Identity) (r Record, ok bool) {
	_ = l.view(func(tx *bolt.Tx) error { // fails only when closed
		r, ok = DecodeRecord(tx.Bucket(filesBucket).Get(Key(i)))
		return nil
	})

	return r, ok
}

func (l *Ledger) view(f func(tx *bolt.Tx) error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()

	return l.db.View(f)
}

// batch makes a change durable, together with concurrent ones.
func (l *Ledger) batch(f func(tx *bolt.Tx) error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.db.Batch(f); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}

	return nil
}

// MarkPublished records a file whose job has been published, and reports whether the job is open: a
// job whose final event has already arrived is not.
func (l *Ledger) MarkPublished(i rootfs.Identity, r Record, now time.Time) (isOpen bool, err error) {
	err = l.batch(func(tx *bolt.Tx) error {
		id := []byte(r.ID)
		files := tx.Bucket(filesBucket)
		open, final := tx.Bucket(openBucket), tx.Bucket(finalBucket)
		old, _ := DecodeRecord(files.Get(Key(i)))
		if err := files.Put(Key(i), r.Encode()); err != nil {
			return err
		}
		if isOpen = final.Get(id) == nil; !isOpen {
			return final.Delete(id)
		}
		if old.ID == r.ID { // published twice: the final event may have arrived in between
			isOpen = open.Get(id) != nil
			return nil
		}
		return open.Put(id, encodeTime(now))
	})

	return isOpen, err
}

// Update writes the record of a file, for example because its path or ctime has changed.
func (l *Ledger) Update(i rootfs.Identity, r Record) error {
	return l.batch(func(tx *bolt.Tx) error { return tx.Bucket(filesBucket).Put(Key(i), r.Encode()) })
}

// MarkFinished records a final event, and reports whether the job was open.
func (l *Ledger) MarkFinished(id string, now time.Time) (wasOpen bool, err error) {
	err = l.batch(func(tx *bolt.Tx) error {
		open := tx.Bucket(openBucket)
		if wasOpen = open.Get([]byte(id)) != nil; wasOpen {
			return open.Delete([]byte(id))
		}
		return tx.Bucket(finalBucket).Put([]byte(id), encodeTime(now))
	})

	return wasOpen, err
}

// IsOpen reports whether a job is published and has no final event.
func (l *Ledger) IsOpen(id string) (open bool) {
	_ = l.view(func(tx *bolt.Tx) error { // fails only when closed
		open = tx.Bucket(openBucket).Get([]byte(id)) != nil
		return nil
	})

	return open
}

// OpenJobs returns the jobs without a final event, and the times of their publication.
func (l *Ledger) OpenJobs() (map[string]time.Time, error) {
	jobs := map[string]time.Time{}
	err := l.view(func(tx *bolt.Tx) error {
		return tx.Bucket(openBucket).ForEach(func(k, v []byte) error {
			jobs[string(k)] = decodeTime(v)
			return nil
		})
	})

	return jobs, err
}

// Remove removes the record of a file.
func (l *Ledger) Remove(i rootfs.Identity) error {
	return l.batch(func(tx *bolt.Tx) error { return tx.Bucket(filesBucket).Delete(Key(i)) })
}

// ForgetJobs forgets open jobs, and removes the records of their files, so that the files are taken
// again. It returns those of the jobs that were open.
func (l *Ledger) ForgetJobs(ids []string) (forgotten []string, err error) {
	err = l.batch(func(tx *bolt.Tx) error {
		forgotten = forgotten[:0] // bbolt runs a failed batch again
		files, open := tx.Bucket(filesBucket), tx.Bucket(openBucket)
		wasOpen := map[string]bool{}
		for _, id := range ids {
			if open.Get([]byte(id)) == nil {
				continue
			}
			forgotten = append(forgotten, id)
			wasOpen[id] = true
			if err := open.Delete([]byte(id)); err != nil {
				return err
			}
		}

		var keys [][]byte
		err := files.ForEach(func(k, v []byte) error {
			if r, ok := DecodeRecord(v); ok && wasOpen[r.ID] {
				keys = append(keys, bytes.Clone(k))
			}
			return nil
		})
		return errors.Join(err, deleteAll(files, keys))
	})

	return forgotten, err
}

func deleteAll(b *bolt.Bucket, keys [][]byte) error {
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
	}

	return nil
}

func encodeTime(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano()))
}

func decodeTime(b []byte) time.Time {
	if len(b) != 8 {
		return time.Time{}
	}

	return time.Unix(0, int64(binary.BigEndian.Uint64(b))).UTC()
}

// Maintain checks some of the records, and drops those whose file is gone or that cannot be
// decoded. exists reports whether a record's file is where the record says. The record of a file
// that is being restored is never dropped. A file counts as gone only after an hour: a scan has to
// find a file that was renamed within the folder, and compare its contents, before its record has
// the new path.
func (l *Ledger) Maintain(now time.Time, exists func(key []byte, r Record) bool) error {
	var gone [][]byte
	n := 0
	err := l.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(filesBucket).Cursor()
		k, v := c.Seek(l.cursor)
		for ; k != nil && n < recordBatch; k, v = c.Next() {
			n++
			r, ok := DecodeRecord(v)
			since, missing := l.missing[string(k)]
			switch {
			case ok && (r.Restoring || exists(k, r)):
				delete(l.missing, string(k))
			case !missing:
				l.missing[string(k)] = now
			case now.Sub(since) >= dropAfter:
				gone = append(gone, bytes.Clone(k))
				delete(l.missing, string(k))
			}
		}
		l.cursor = bytes.Clone(k) // nil after the last record
		return nil
	})
	if err != nil {
		return err
	}

	return l.prune(gone, now)
}

// prune removes the given records, and final events that have waited too long for their record.
func (l *Ledger) prune(gone [][]byte, now time.Time) error {
	var stale [][]byte
	err := l.view(func(tx *bolt.Tx) error {
		return tx.Bucket(finalBucket).ForEach(func(k, v []byte) error {
			if now.Sub(decodeTime(v)) > finalExpiry {
				stale = append(stale, bytes.Clone(k))
			}
			return nil
		})
	})
	if err != nil || len(gone)+len(stale) == 0 {
		return err
	}

	return l.batch(func(tx *bolt.Tx) error {
		return errors.Join(deleteAll(tx.Bucket(filesBucket), gone), deleteAll(tx.Bucket(finalBucket), stale))
	})
}

// Shrink rewrites the ledger when at least half of it is free. The ledger stays usable after an
// error, for example because the disk is full.
func (l *Ledger) Shrink() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var used int64 // bytes in use; the file grows in larger steps
	if err := l.db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		return err
	}
	stats := l.db.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(l.db.Info().PageSize)
	if used < shrinkAt || free*2 < used {
		return nil
	}

	const tmp = fileName + ".new"
	if err := l.root.Remove(tmp); err != nil && !rootfs.IsGone(err) {
		return err
	}
	smaller, err := openDB(l.root, tmp)
	if err != nil {
		return err
	}
	err = bolt.Compact(smaller, l.db, 1<<20)
	if err == nil {
		err = l.root.Replace(tmp, fileName)
	}
	if err != nil {
		return errors.Join(err, smaller.Close(), l.root.Remove(tmp))
	}
	old := l.db
	l.db = smaller

	return errors.Join(old.Close(), l.root.SyncDir(""))
}
