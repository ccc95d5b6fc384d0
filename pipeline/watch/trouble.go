package watch

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/rootfs"
)

const (
	maxTroubles   = 4096 // remembered; of more than these only the next scan knows
	shownTroubles = 10
)

// What is wrong with a file, in words: what failed, and what to do.
const (
	cannotOpen = "cannot be opened"
	cannotMove = "cannot be claimed"
	cannotScan = "cannot be read as a folder"
	cannotEnd  = "cannot be moved after its verdict"
	tooLong    = "has a path that is too long"
	isOurs     = "is left alone"
)

// remedies say what to do, by what is wrong.
var remedies = map[string]string{
	cannotOpen: "let the watcher's user read it (as the owner, or with CAP_DAC_READ_SEARCH), and exempt the watched folder from on-access virus scanners",
	cannotMove: "let the watcher's user rename it: it may be immutable (lsattr), or its folder sticky or closed to the watcher",
	cannotScan: "let the watcher's user read the folder, or exclude it",
	cannotEnd:  "let the watcher's user move it: it may be immutable (lsattr), or the folder it goes to closed to the watcher",
	tooLong:    "move it nearer to the watched folder",
	isOurs:     "move it, or this name of it, out of the watched folder, and find out what put it there",
}

// Trouble is a file or folder that cannot be dealt with. It is tried again, ever more slowly.
type Trouble struct {
	Path   string    `json:"path"`   // relative to the watched folder
	Reason string    `json:"reason"` // what failed, why, and what to do
	Since  time.Time `json:"since"`  // when it failed first
}

// troubles are files that cannot be dealt with for reasons of their own: the folder goes on
// without them. One that has been so for a while is reported: logged, counted and shown. Safe for
// concurrent use.
type troubles struct {
	patience time.Duration // how long something may go wrong before it is reported
	count    prometheus.Gauge
	log      zerolog.Logger

	mu    sync.Mutex
	files map[string]*trouble
}

type trouble struct {
	reason   string
	since    time.Duration // on the watcher's clock
	reported bool
}

func newTroubles(patience time.Duration, count prometheus.Gauge, log zerolog.Logger) *troubles {
	return &troubles{
		patience: patience,
		count:    count,
		log:      log,
		files:    map[string]*trouble{},
	}
}

// note says that something went wrong with a file, or with a folder below the watched one.
func (t *troubles) note(rel, what string, err error, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()

	f := t.files[rel]
	if f == nil {
		if len(t.files) >= maxTroubles {
			return
		}
		f = &trouble{since: now}
		t.files[rel] = f
	}
	f.reason = what + ": " + err.Error() + "; " + remedies[what]
	if !f.reported && (now-f.since >= t.patience || what == isOurs) { // that is no matter of time
		f.reported = true
		t.log.Warn().Str("path", rel).Str("reason", f.reason).Msg("cannot process a file; retrying")
		t.showLocked()
	}
}

// end says that a file is out of trouble, or gone.
func (t *troubles) end(rel string) {
	t.mu.Lock()
	defer t.mu.Unlock()

	f := t.files[rel]
	if f == nil {
		return
	}
	delete(t.files, rel)
	if f.reported {
		t.log.Info().Str("path", rel).Msg("a file that had problems is processed again")
		t.showLocked()
	}
}

// prune ends what gone says is no more.
func (t *troubles) prune(gone func(rel string) bool) {
	t.mu.Lock()
	names := make([]string, 0, len(t.files))
	for rel := range t.files {
		names = append(names, rel)
	}
	t.mu.Unlock()

	for _, rel := range names {
		if gone(rel) {
			t.end(rel)
		}
	}
}

// reported returns how many files have been in trouble for long enough to be reported, and those of
// them that have been so for longest.
func (t *troubles) reported(start time.Time) (n int, longest []Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()

	for rel, f := range t.files {
		if f.reported {
			longest = append(longest, Trouble{
				Path:   rel,
				Reason: f.reason,
				Since:  start.Add(f.since).UTC(),
			})
		}
	}
	n = len(longest)
	slices.SortFunc(longest, func(a, b Trouble) int { return a.Since.Compare(b.Since) })

	return n, longest[:min(n, shownTroubles)]
}

func (t *troubles) showLocked() {
	n := 0
	for _, f := range t.files {
		if f.reported {
			n++
		}
	}
	t.count.Set(float64(n))
}

// fileFault reports whether an error is one file's own, and says nothing about others.
func fileFault(err error) bool {
	switch rootfs.CauseOf(err) {
	case rootfs.Denied, rootfs.Busy, rootfs.Outside, rootfs.Special:
		return true
	case rootfs.Missing:
		return !rootfs.IsGone(err)
	}

	return errors.Is(err, syscall.EIO) // a bad sector; where the disk is gone, all files say so
}
