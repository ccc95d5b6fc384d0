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
	mu      sync.Mutex
	now     map[string]verdict
	before  map[string]verdict // verdicts of the previous generation
	rotated time.Time
}

type verdict struct {
	wildfire.Verdict
	read time.Time
}

const (
	recentFor  = 5 * time.Second // a changed verdict is noticed after this time
	recentMost = 8192            // verdicts in one generation
)

// get returns a verdict that was read recently.
func (r *recent) get(sha256 string, at time.Time) (wildfire.Verdict, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.now[sha256]
	if !ok {
		v, ok = r.before[sha256]
	}

	return v.Verdict, ok && at.Sub(v.read) < recentFor
}

func (r *recent) put(sha256 string, v wildfire.Verdict, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Sub(r.rotated) > recentFor || len(r.now) >= recentMost {
		r.before = r.now
		r.now = map[string]verdict{}
		r.rotated = at
	}
	r.now[sha256] = verdict{v, at}
}
