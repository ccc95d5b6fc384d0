package judge

import (
	"sync"
	"time"

	"backburn/wildfire"
)

// recent caches verdicts that were just read from the ledger. The same file is often requested many
// times at once, as an attachment to many mails or a popular download. It is safe for concurrent
// use.
type recent struct {
	mu       sync.Mutex
	current  map[string]verdict
	previous map[string]verdict // verdicts of the previous generation
	rotated  time.Time
}

type verdict struct {
	wildfire.Verdict
	read time.Time
}

const (
	recentTTL = 5 * time.Second // a changed verdict is noticed within this time
	maxRecent = 8192            // verdicts in one generation
)

// get returns a verdict that was read recently.
func (r *recent) get(sha256 string, at time.Time) (wildfire.Verdict, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.current[sha256]
	if !ok {
		v, ok = r.previous[sha256]
	}

	return v.Verdict, ok && at.Sub(v.read) < recentTTL
}

func (r *recent) put(sha256 string, v wildfire.Verdict, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Sub(r.rotated) > recentTTL || len(r.current) >= maxRecent {
		r.previous = r.current
		r.current = map[string]verdict{}
		r.rotated = at
	}
	r.current[sha256] = verdict{v, at}
}
