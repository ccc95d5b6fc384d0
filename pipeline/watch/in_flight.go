package watch

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// slots is how many files are worked on at once, between claim and publication. It bounds
// open files and memory, and is the most that share one sync of the disk.
const slots = 256

// inFlight counts the files that are claimed and not yet finished, and admits new ones. Safe
// for concurrent use.
type inFlight struct {
	mu       sync.Mutex
	max      int                     // Config.MaxInFlight
	files    map[string]inFlightFile // claimed and not finished, by id
	reserved int                     // admitted and not yet claimed
	running  int                     // being worked on: admitted, or entered
	blocked  string                  // why nothing is admitted for now, or ""
	changed  chan struct{}           // closed when a place may have become free; nil if nobody waits
}

// inFlightFile is a file that is claimed and not finished.
type inFlightFile struct {
	name  string // in claimedDir; "" where files stay in place
	since time.Time

	published time.Time // zero until then
}

func newInFlight(limit int) *inFlight { return &inFlight{max: limit, files: map[string]inFlightFile{}} }

// admit reserves a place for one more file, or returns a channel that is closed when it is
// worth asking again.
func (f *inFlight) admit() (ok bool, again <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blocked == "" && len(f.files)+f.reserved < f.max && f.running < slots {
		f.reserved++
		f.running++
		return true, nil
	}
	return false, f.waitLocked()
}

// await is admit that waits until a place is free or ctx ends.
func (f *inFlight) await(ctx context.Context) error {
	for {
		ok, again := f.admit()
		if ok {
			return nil
		}
		select {
		case <-again:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enter takes a place among those who work, for a file that is claimed already.
func (f *inFlight) enter(ctx context.Context) error {
	for {
		f.mu.Lock()
		if f.running < slots {
			f.running++
			f.mu.Unlock()
			return nil
		}
		again := f.waitLocked()
		f.mu.Unlock()
		select {
		case <-again:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leave gives back what admit and enter gave.
func (f *inFlight) leave() {
	f.mu.Lock()
	f.running--
	f.freeLocked()
	f.mu.Unlock()
}

// cancel gives back the reservation of a file that was not claimed.
func (f *inFlight) cancel() {
	f.mu.Lock()
	f.reserved--
	f.freeLocked()
	f.mu.Unlock()
}

// claimed turns a reservation into a claimed file.
func (f *inFlight) claimed(id, name string, since time.Time) {
	f.mu.Lock()
	f.reserved--
	f.files[id] = inFlightFile{name: name, since: since}
	f.mu.Unlock()
}

// add counts a claimed file that was found, whatever the limit, and reports whether it is
// new here.
func (f *inFlight) add(id, name string, since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.files[id]
	if !known {
		f.files[id] = inFlightFile{name: name, since: since}
	}
	return !known
}

// name returns the name of a claimed file in claimedDir, or "" if it is not known here.
func (f *inFlight) name(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.files[id].name
}

// has reports whether a file is claimed and not finished.
func (f *inFlight) has(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.files[id]
	return ok
}

// finished forgets a file.
func (f *inFlight) finished(id string) {
	f.mu.Lock()
	delete(f.files, id)
	f.freeLocked()
	f.mu.Unlock()
}

// published notes that a file's job was published.
func (f *inFlight) published(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file, ok := f.files[id]; ok {
		file.published = time.Now()
		f.files[id] = file
	}
}

// unpublished notes that a file's job has to be published again, and reports whether it was
// published.
func (f *inFlight) unpublished(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, ok := f.files[id]
	if !ok || file.published.IsZero() {
		return false
	}
	file.published = time.Time{}
	f.files[id] = file

	return true
}

// publishedBefore returns the files whose jobs were published before a time.
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

// ids returns the files that are known now.
func (f *inFlight) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := make([]string, 0, len(f.files))
	for id := range f.files {
		ids = append(ids, id)
	}
	return ids
}

// block stops admission for a reason, and allows it again with "".
func (f *inFlight) block(reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blocked = reason
	f.freeLocked()
}

// reset forgets everything, for a folder that is opened anew.
func (f *inFlight) reset() {
	f.mu.Lock()
	clear(f.files)
	f.reserved = 0
	f.running = 0
	f.blocked = ""
	f.freeLocked()
	f.mu.Unlock()
}

func (f *inFlight) waitLocked() <-chan struct{} {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

func (f *inFlight) freeLocked() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// summary returns the number of files, when the oldest was claimed, and why nothing more
// is admitted, if so.
func (f *inFlight) summary() (n int, oldest time.Time, held string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, file := range f.files {
		if oldest.IsZero() || file.since.Before(oldest) {
			oldest = file.since
		}
	}
	held = f.blocked
	if n = len(f.files); held == "" && n+f.reserved >= f.max {
		held = fmt.Sprintf("max_in_flight: %d files are claimed and not yet finished", n)
	}
	return n, oldest, held
}
