package pipeline

import (
	"context"
	"sync"
	"time"
)

// room is how many jobs of a lane a worker may have in hand, shared by the sources. A source
// may hold at most roomShare times what is left free (the dynamic threshold of shared packet
// buffers: Choudhury and Hahne, 1998). So one source alone uses four fifths, many share
// alike, and a newcomer always finds some without anybody having to count sources.
type room struct {
	mu    sync.Mutex
	free  int
	held  map[string]int // by source
	freed chan struct{}  // closed and replaced when room comes back
}

const (
	// Jobs of a lane in one worker's hand. Those that wait for an answer of WildFire need no
	// slot, and the more of them there are, the better a call is used: 256 of one source.
	handPerLane = 320

	roomShare = 4

	// In a hand that was full, room comes back job by job: it gathers for a moment, so that
	// one request fetches several.
	gatherRoom = 5 * time.Millisecond
)

func newRoom(n int) *room {
	return &room{free: n, held: map[string]int{}, freed: make(chan struct{})}
}

// reserve waits until a source may hold more, and takes up to most of it. It returns 0 when
// ctx ends.
func (r *room) reserve(ctx context.Context, source string, most int) int {
	for waited := false; ; waited = true {
		if waited && sleep(ctx, gatherRoom) != nil {
			return 0
		}
		n, freed := r.try(source, most)
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

// try takes what there is for a source now, and says what to wait on if that is nothing.
func (r *room) try(source string, most int) (int, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The largest n with held+n <= roomShare*(free-n).
	n := min((roomShare*r.free-r.held[source])/(roomShare+1), most)
	if n <= 0 {
		return 0, r.freed
	}
	r.free -= n
	r.held[source] += n
	return n, nil
}

// exceed makes room for one job where there may be none: an empty queue waits for its next job
// without keeping room for it.
func (r *room) exceed(source string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free--
	r.held[source]++
}

// release gives room back.
func (r *room) release(source string, n int) {
	if n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += n
	if r.held[source] -= n; r.held[source] == 0 {
		delete(r.held, source)
	}
	close(r.freed)
	r.freed = make(chan struct{})
}
