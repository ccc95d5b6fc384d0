package watch

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

const (
	maxTroubles   = 4096 // remembered; further ones are not reported, but scans still retry them
	shownTroubles = 10
)

// What is wrong with a file.
const (
	cannotOpen   = "cannot be opened"
	cannotClaim  = "cannot be claimed"
	cannotScan   = "cannot be read as a folder"
	cannotFinish = "cannot be moved after its verdict"
	tooLong      = "has a path that is too long"
	isLeftAlone  = "is left alone"
)

// remedies say what to do about each of these faults.
var remedies = map[string]string{
	cannotOpen:   "let the watcher's user read it (as the owner, or with CAP_DAC_READ_SEARCH), and exempt the watched folder from on-access virus scanners",
	cannotClaim:  "let the watcher's user rename it: it may be immutable (lsattr), or its folder may be sticky or not writable by the watcher",
	cannotScan:   "let the watcher's user read the folder, or exclude it",
	cannotFinish: "let the watcher's user move it: it may be immutable (lsattr), or the destination folder may not be writable by the watcher",
	tooLong:      "move it to a shorter path",
	isLeftAlone:  "move it (or this hard link to it) out of the watched folder, and find out what put it there",
}

// Trouble is a file or folder that cannot be processed. It is retried.
type Trouble struct {
	Path   string    `json:"path"`   // relative to the watched folder
	Reason string    `json:"reason"` // what failed, why, and what to do
	Since  time.Time `json:"since"`  // when it first failed
}

// troubles are the files that cannot be processed because of faults of their own. The folder
// continues without them. A file that stays in trouble is reported: logged, counted and shown. Safe
// for concurrent use.
type troubles struct {
	reportAfter time.Duration // how long a fault must last before it is reported
	count       prometheus.Gauge
	log         zerolog.Logger

	mu    sync.Mutex
	files map[string]*trouble
}

type trouble struct {
	reason   string
	since    time.Duration // when the fault began, on the watcher's clock
	reported bool
}

func newTroubles(reportAfter time.Duration, count prometheus.Gauge, log zerolog.Logger) *troubles {
	return &troubles{
		reportAfter: reportAfter,
		count:       count,
		log:         log,
		files:       map[string]*trouble{},
	}
}

// record records a fault of a file, or of a subfolder of the watched one.
func (t *troubles) record(rel, what string, err error, now time.Duration) {
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
	if !f.reported && (now-f.since >= t.reportAfter || what == isLeftAlone) { // waiting does not end this fault
		f.reported = true
		t.log.Warn().Str("path", rel).Str("reason", f.reason).Msg("cannot process a file; retrying")
		t.updateCountLocked()
	}
}

// clear records that a file has no fault any more, or no longer exists.
func (t *troubles) clear(rel string) {
	t.mu.Lock()
	defer t.mu.Unlock()

	f := t.files[rel]
	if f == nil {
		return
	}
	delete(t.files, rel)
	if f.reported {
		t.log.Info().Str("path", rel).Msg("the fault of a file has ended, or the file is gone")
		t.updateCountLocked()
	}
}

// prune ends the faults of files that no longer exist according to gone.
func (t *troubles) prune(gone func(rel string) bool) {
	t.mu.Lock()
	names := slices.Collect(maps.Keys(t.files))
	t.mu.Unlock()

	for _, rel := range names {
		if gone(rel) {
			t.clear(rel)
		}
	}
}

// reported returns the number of reported files, and those of them that have been in trouble
// longest.
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

func (t *troubles) updateCountLocked() {
	n := 0
	for _, f := range t.files {
		if f.reported {
			n++
		}
	}
	t.count.Set(float64(n))
}
