package watch

import (
	"sync"

	"backburn/pipeline/watch/settle"
)

// maxPending limits the names in memory. Further names are not lost: they stay in the folder, and
// scans judge them one by one while there is no room.
const maxPending = 1 << 15

// result is the outcome of taking a file.
type result struct {
	rel     string
	outcome settle.Outcome
}

// hints collects reported names until the decider fetches them. Adding one costs a map insert, so
// that the event loop keeps up with the kernel. Safe for concurrent use.
type hints struct {
	mu      sync.Mutex
	names   map[string]bool // true if an event reported it
	results []result
	tracked int // number of names that the decider has
	wake    chan struct{}
}

func newHints() *hints {
	return &hints{names: map[string]bool{}, wake: make(chan struct{}, 1)}
}

// add reports a name. It returns false if there is no room for it. event says that the name comes
// from an event and not from a scan: the file has just changed.
func (h *hints) add(rel string, event bool) bool {
	h.mu.Lock()
	ok := len(h.names)+h.tracked < maxPending
	if ok {
		h.names[rel] = event || h.names[rel]
	}
	h.mu.Unlock()
	if ok {
		signal(h.wake)
	}

	return ok
}

// addResult reports the outcome of taking a file to the decider.
func (h *hints) addResult(r result) {
	h.mu.Lock()
	h.results = append(h.results, r)
	h.mu.Unlock()
	signal(h.wake)
}

// drain returns everything reported since the last call. tracked is the number of names that the
// decider has already.
func (h *hints) drain(tracked int) (names map[string]bool, results []result) {
	h.mu.Lock()
	defer h.mu.Unlock()

	names, h.names = h.names, map[string]bool{}
	results, h.results = h.results, nil
	h.tracked = tracked + len(names)

	return names, results
}

// signal wakes the receiver of a channel of capacity one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
