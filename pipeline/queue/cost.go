package queue

import "time"

// cost is what the server takes for single messages and for batches, measured from what is sent. It
// says which of them to send.
type cost struct {
	message time.Duration // for one message among others, lately
	fixed   time.Duration // for a batch, apart from its messages, at best lately

	since time.Time // when the row of singles under way began
	acks  int       // of that row

	best, bestBefore time.Duration // of fixed, in this period and the one before
	period           time.Time
}

const (
	// Below this a server does not sync for each message: then nothing is gained by a batch.
	cheapSingle = 60 * time.Microsecond

	eachInBatch  = 12 * time.Microsecond
	leastBatch   = 200 * time.Microsecond
	costPeriod   = 2 * time.Second
	rowOfSingles = 16 // messages, to measure by

	maxInFlight = 512 // messages sent and not answered
)

func newCost() cost { return cost{message: 20 * time.Microsecond, fixed: 2 * time.Millisecond} }

// cheap reports whether single messages cost so little that batches are not worth while.
func (c *cost) cheap() bool { return c.message < cheapSingle }

// few is how many messages are better sent one by one: about as many as take as long as a batch.
func (c *cost) few() int { return min(max(int(c.fixed/c.message), 8), maxInFlight) }

// begin notes that single messages are sent, while so many are under way.
func (c *cost) begin(underWay int) {
	if underWay == 0 {
		c.since = time.Now()
		c.acks = 0
	}
}

// single notes the answer to a single message. A row of them that were under way together shows
// what each takes.
func (c *cost) single() {
	c.acks++
	if c.acks < rowOfSingles {
		return
	}

	each := time.Since(c.since) / time.Duration(c.acks)
	c.message = max((c.message*3+each)/4, time.Microsecond)
	c.since = time.Now()
	c.acks = 0
}

// batch notes what a batch took. Whatever else the machine does only adds to it, so the lowest of
// the last seconds counts.
func (c *cost) batch(took time.Duration, messages int) {
	fixed := max(took-time.Duration(messages)*eachInBatch, leastBatch)

	if now := time.Now(); now.Sub(c.period) > costPeriod {
		c.bestBefore = c.best
		c.best = fixed
		c.period = now
	}

	c.best = min(c.best, fixed)
	c.fixed = c.best
	if c.bestBefore > 0 {
		c.fixed = min(c.best, c.bestBefore)
	}
}
