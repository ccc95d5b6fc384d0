package watch

import (
	"sync"

	"backburn/pipeline/watch/settle"
)

// maxPending bounds the names in memory. Names beyond it are not lost: the folder has them,
// and a scan judges them one by one when there is no room.
const maxPending = 1 << 15

// result is what became of taking a file.
type result struct {
	rel     string
	outcome settle.Outcome
}

// hints are the names that somebody reported, until the decider picks them up. Putting one
// costs a map insert, so that the event loop never falls behind. Safe for concurrent use.
type hints struct {
	mu      sync.Mutex
	names   map[string]bool // true if an event reported it
	results []result
	tracked int // names that the decider has
	wake    chan struct{}
}

func newHints() *hints {
	return &hints{names: map[string]bool{}, wake: make(chan struct{}, 1)}
}

// put reports a name and returns false if there is no room for it. An event, other than a
// scan, says that something has just happened to the file.
func (h *hints) put(rel string, event bool) bool {
	h.mu.Lock()
	ok := len(h.names)+h.tracked < maxPending
	if ok {
		h.names[rel] = event || h.names[rel]
	}
	h.mu.Unlock()
	if ok {
		h.signal()
	}

	return ok
}

// done reports what became of taking a file.
func (h *hints) done(r result) {
	h.mu.Lock()
	h.results = append(h.results, r)
	h.mu.Unlock()
	h.signal()
}

func (h *hints) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// swap returns what was reported since, and takes emptied containers for what comes next.
func (h *hints) swap(names map[string]bool, results []result, tracked int) (map[string]bool, []result) {
	h.mu.Lock()
	defer h.mu.Unlock()

	names, h.names = h.names, names
	results, h.results = h.results, results
	h.tracked = tracked + len(names)

	return names, results
}
