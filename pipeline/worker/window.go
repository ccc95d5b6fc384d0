package worker

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline/fleet"
)

// window limits how many jobs of a lane a worker holds, shared fairly between sources. Large
// messages count as several jobs, so that a flood of them takes no more memory. A source may hold
// at most windowShare times what is left free (the dynamic threshold of shared packet buffers:
// Choudhury and Hahne, 1998). So one source alone uses four fifths, many sources get equal parts,
// and a new source always finds free places, without a count of sources. It is safe for concurrent
// use.
type window struct {
	mu    sync.Mutex
	free  int
	held  map[string]int // by source
	freed chan struct{}  // closed and replaced when places are released
}

const (
	// Jobs of a lane in one worker. Jobs that wait for an answer from WildFire need no upload slot,
	// and many of them fill a call better. A single source can have 256.
	windowSize = 320

	// A job takes one place, and one more for each of this many bytes of its message.
	bytesPerPlace = 256 << 10

	windowShare = 4

	// In a full window, places are released job by job. They gather for a moment, so that one
	// request fetches several jobs.
	placeGatherTime = 5 * time.Millisecond
)

func newWindow(n int) *window {
	return &window{free: n, held: map[string]int{}, freed: make(chan struct{})}
}

// reserve waits until a source may hold more, and takes up to most places. It returns 0 when ctx
// ends.
func (w *window) reserve(ctx context.Context, feed string, most int) int {
	for waited := false; ; waited = true {
		if waited && fleet.Sleep(ctx, placeGatherTime) != nil {
			return 0
		}
		n, freed := w.tryReserve(feed, most)
		if n > 0 {
			return n
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return 0
		}
	}
}

// tryReserve takes the places that a source may have now. If there are none, it returns the channel
// to wait on.
func (w *window) tryReserve(feed string, most int) (int, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()

	// The largest n with held+n <= windowShare*(free-n).
	n := min((windowShare*w.free-w.held[feed])/(windowShare+1), most)
	if n <= 0 {
		return 0, w.freed
	}
	w.free -= n
	w.held[feed] += n
	return n, nil
}

// forceReserve takes places even if none are free: an empty feed waits for its next job without
// reserving room, and jobs may be larger than expected.
func (w *window) forceReserve(feed string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.free -= n
	w.held[feed] += n
}

// placesFor is how many places a job takes.
func placesFor(m jetstream.Msg) int { return 1 + len(m.Data())/bytesPerPlace }

// release returns places.
func (w *window) release(feed string, n int) {
	if n == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()

	w.free += n
	w.held[feed] -= n
	if w.held[feed] == 0 {
		delete(w.held, feed)
	}
	close(w.freed)
	w.freed = make(chan struct{})
}
