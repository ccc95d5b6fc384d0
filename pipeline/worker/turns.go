package worker

import (
	"sync"
	"time"
)

// claimTurns limits how many jobs at a time may claim their samples and upload them. There is one
// turn for each upload slot. If uploads end faster than claims become durable, there are extra
// turns: the next samples are then claimed during other uploads, and no slot waits for a claim. If
// uploads are rare or slow there are no extra turns, so that no claimed sample waits long for its
// slot. A claimTurns is safe for concurrent use.
type claimTurns struct {
	*slots // gives out the turns, in the same way as upload slots

	uploadSlots int // how many there are

	mu        sync.Mutex
	claimTime time.Duration // how long it recently took to make a claim durable
	interval  time.Duration // recent time between the ends of two uploads
	ended     time.Time     // end of the last upload
}

// maxExtraTurns is the maximum number of extra turns for each upload slot.
const maxExtraTurns = 15

func newTurns(uploadSlots int) *claimTurns {
	return &claimTurns{
		slots:       newSlots(uploadSlots),
		uploadSlots: uploadSlots,
		interval:    time.Second,
	}
}

func (t *claimTurns) claimed(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.claimTime += (took - t.claimTime) / 8
	t.adapt()
}

func (t *claimTurns) uploaded(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.interval += (min(now.Sub(t.ended), time.Second) - t.interval) / 8
	t.ended = now
	t.adapt()
}

// adapt sets the number of extra turns to the number of uploads that end while a claim becomes
// durable. The caller holds mu.
func (t *claimTurns) adapt() {
	interval := max(t.interval, time.Microsecond)
	extra := int((t.claimTime + interval/2) / interval)
	t.resize(t.uploadSlots + min(extra, maxExtraTurns*t.uploadSlots))
}
