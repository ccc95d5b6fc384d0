package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// room is the places for jobs of a lane in a worker's hand, shared by the sources. A job whose
// message holds much takes several, so that a flood of large ones takes no more memory. A source may hold at most roomShare times what is left free (the dynamic threshold of shared packet
// buffers: Choudhury and Hahne, 1998). So one source alone uses four fifths, many share
// alike, and a newcomer always finds some without anybody having to count sources.
type room struct {
	mu    sync.Mutex
	free  int
	held  map[string]int // by source
	freed chan struct{}  // closed and replaced when room comes back
}

const (
	// Places of a lane in one worker's hand. Jobs that wait for an answer of WildFire need no
	// slot, and the more of them there are, the better a call is used: 256 of one source.
	handPerLane = 320

	// A job takes a place, and another for each so many bytes of its message.
	bytesPerPlace = 256 << 10

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

// exceed takes places that may not be there: an empty queue waits for its next job without
// keeping room for it, and jobs may turn out larger than those before.
func (r *room) exceed(source string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free -= n
	r.held[source] += n
}

// placesOf is how many places a job takes.
func placesOf(m jetstream.Msg) int { return 1 + len(m.Data())/bytesPerPlace }

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
