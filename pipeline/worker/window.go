package worker

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
)

// window limits how many jobs of a lane a worker holds, and divides its places fairly between the
// lane's feeds. A feed has the jobs of one source or, if there are very many sources, of several. A
// job with a large message takes several places, which bounds the memory of a full window. A feed
// may hold at most windowShare times as many places as are still free (the dynamic threshold of
// shared packet buffers: Choudhury and Hahne, 1998). So one feed alone uses four fifths, many feeds
// get equal parts, and a new feed finds free places unless dozens of others are busy. Its first job
// needs none (forceReserve). The number of feeds need not be known. A window is safe for concurrent
// use.
type window struct {
	mu    sync.Mutex
	free  int
	held  map[string]int // places, by the feed's name
	freed chan struct{}  // closed and replaced when places are released
}

const (
	// The places of one lane. There are more places than upload slots (at most 256), because jobs
	// that wait for an answer from WildFire need no slot, and one call can ask about up to 500 of
	// them. A single feed can use 256 places.
	windowSize = 320

	// A job takes one place, and one more for each of this many bytes of its message.
	bytesPerPlace = 256 << 10

	windowShare = 4

	// In a full window, places are released one at a time. A fetcher waits this long for more of
	// them, so that one request fetches several jobs.
	placeGatherTime = 5 * time.Millisecond
)

func newWindow(n int) *window {
	return &window{free: n, held: map[string]int{}, freed: make(chan struct{})}
}

// reserve waits until a feed may hold more places, and takes as many as it may, up to limit. It
// returns their number, or 0 when ctx ends.
func (w *window) reserve(ctx context.Context, feed string, limit int) int {
	for waited := false; ; waited = true {
		if waited && pipeline.Sleep(ctx, placeGatherTime) != nil {
			return 0
		}
		n, freed := w.tryReserve(feed, limit)
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

// tryReserve takes as many places as a feed may take now, up to limit. If it may take none,
// tryReserve returns a channel that is closed when places are released.
func (w *window) tryReserve(feed string, limit int) (int, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()

	// The largest n with held+n <= windowShare*(free-n).
	n := min((windowShare*w.free-w.held[feed])/(windowShare+1), limit)
	if n <= 0 {
		return 0, w.freed
	}
	w.free -= n
	w.held[feed] += n
	return n, nil
}

// forceReserve takes places even if none are free. It is for jobs that have already arrived: the
// first job of an empty feed, which is requested without a reservation, and jobs larger than
// expected.
func (w *window) forceReserve(feed string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.free -= n
	w.held[feed] += n
}

func placesFor(m jetstream.Msg) int { return 1 + len(m.Data())/bytesPerPlace }

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
