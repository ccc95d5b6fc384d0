package watch

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// maxPublishing is the maximum number of files that are being claimed and published at a time. It
// limits open files and memory, and is the largest group that shares one sync of the disk.
const maxPublishing = 256

// inFlight counts the claimed, unfinished files, and limits how many more may be claimed. Safe for
// concurrent use.
type inFlight struct {
	mu         sync.Mutex
	max        int                      // Config.MaxInFlight
	files      map[string]*inFlightFile // claimed and unfinished, by ID
	reserved   int                      // reserved and not yet claimed
	publishing int                      // files that are being claimed and published
	blocked    string                   // why no more files may be claimed, or ""
	changed    chan struct{}            // closed, and replaced, when there may be room
}

// inFlightFile is a claimed, unfinished file.
type inFlightFile struct {
	name  string // in spool.Claimed; "" if the file stays in place
	since time.Time

	published time.Time // zero before that
}

func newInFlight(limit int) *inFlight {
	return &inFlight{max: limit, files: map[string]*inFlightFile{}, changed: make(chan struct{})}
}

// tryReserve reserves room for one more file, which then counts as being published. If there is no
// room, tryReserve returns a channel that is closed when it is worth trying again.
func (f *inFlight) tryReserve() (ok bool, retry <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.blocked == "" && len(f.files)+f.reserved < f.max && f.publishing < maxPublishing {
		f.reserved++
		f.publishing++
		return true, nil
	}

	return false, f.changed
}

// reserve calls tryReserve until it succeeds or ctx ends.
func (f *inFlight) reserve(ctx context.Context) error { return await(ctx, f.tryReserve) }

// beginPublishing waits until a file that is already claimed may be published.
func (f *inFlight) beginPublishing(ctx context.Context) error { return await(ctx, f.tryPublishing) }

func (f *inFlight) tryPublishing() (ok bool, retry <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.publishing < maxPublishing {
		f.publishing++
		return true, nil
	}

	return false, f.changed
}

// await calls try until it succeeds or ctx ends. If it does not succeed, try returns a channel that
// is closed when it is worth trying again.
func await(ctx context.Context, try func() (ok bool, retry <-chan struct{})) error {
	for {
		ok, retry := try()
		if ok {
			return nil
		}
		select {
		case <-retry:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// endPublishing ends what tryReserve, reserve or beginPublishing began for a file.
func (f *inFlight) endPublishing() {
	f.mu.Lock()
	f.publishing--
	f.notifyLocked()
	f.mu.Unlock()
}

// cancelReservation releases the reservation of a file that was not claimed.
func (f *inFlight) cancelReservation() {
	f.mu.Lock()
	f.reserved--
	f.notifyLocked()
	f.mu.Unlock()
}

// addClaimed turns a reservation into a claimed file.
func (f *inFlight) addClaimed(id, name string, since time.Time) {
	f.mu.Lock()
	f.reserved--
	f.files[id] = &inFlightFile{name: name, since: since}
	f.mu.Unlock()
}

// add adds a claimed file that was found, regardless of the limit. It reports whether the file was
// not known before.
func (f *inFlight) add(id, name string, since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	_, known := f.files[id]
	if !known {
		f.files[id] = &inFlightFile{name: name, since: since}
	}

	return !known
}

// name returns the name of a claimed file in spool.Claimed, or "" if it is unknown.
func (f *inFlight) name(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()

	if file := f.files[id]; file != nil {
		return file.name
	}

	return ""
}

// has reports whether a file is claimed and unfinished.
func (f *inFlight) has(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	_, ok := f.files[id]

	return ok
}

// remove removes a file.
func (f *inFlight) remove(id string) {
	f.mu.Lock()
	delete(f.files, id)
	f.notifyLocked()
	f.mu.Unlock()
}

// markPublished records that a file's job has been published.
func (f *inFlight) markPublished(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if file := f.files[id]; file != nil {
		file.published = time.Now()
	}
}

// markUnpublished records that a file's job must be published again. It reports whether it had been
// published.
func (f *inFlight) markUnpublished(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	file := f.files[id]
	if file == nil || file.published.IsZero() {
		return false
	}
	file.published = time.Time{}

	return true
}

// publishedBefore returns the IDs of the files whose jobs were published before t.
func (f *inFlight) publishedBefore(t time.Time) []string {
	f.mu.Lock()
	defer f.mu.Unlock()

	var ids []string
	for id, file := range f.files {
		if !file.published.IsZero() && file.published.Before(t) {
			ids = append(ids, id)
		}
	}

	return ids
}

// names returns the names of the files in spool.Claimed, by their IDs.
func (f *inFlight) names() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()

	names := make(map[string]string, len(f.files))
	for id, file := range f.files {
		if file.name != "" {
			names[id] = file.name
		}
	}

	return names
}

// block prevents further reservations for the given reason; "" allows them again.
func (f *inFlight) block(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.blocked = reason
	f.notifyLocked()
}

// reset removes all files, for a folder that is opened again.
func (f *inFlight) reset() {
	f.mu.Lock()
	clear(f.files)
	f.reserved = 0
	f.publishing = 0
	f.blocked = ""
	f.notifyLocked()
	f.mu.Unlock()
}

// notifyLocked wakes everybody who waits for room. The caller holds mu.
func (f *inFlight) notifyLocked() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// summary returns the number of files, when the oldest was claimed, and why no more may be claimed,
// or "".
func (f *inFlight) summary() (n int, oldest time.Time, blocked string) {
	f.mu.Lock()
	defer f.mu.Unlock()

	for _, file := range f.files {
		if oldest.IsZero() || file.since.Before(oldest) {
			oldest = file.since
		}
	}
	blocked = f.blocked
	if n = len(f.files); blocked == "" && n+f.reserved >= f.max {
		blocked = fmt.Sprintf("max_in_flight: %d files are claimed and unfinished", n)
	}

	return n, oldest, blocked
}
