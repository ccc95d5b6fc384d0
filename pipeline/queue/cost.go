package queue

import (
	"sync"
	"time"
)

// cost is what the server takes for single messages and for batches, measured from what is sent. It
// says which of them to send.
type cost struct {
	message time.Duration // for one message among others, lately
	answer  *answer       // of the connection
	fixed   lowest        // for a batch, apart from its messages

	since time.Time // when the row of singles under way began
	acks  int       // of that row
}

const (
	// Below one of these a server does not sync for each message, or does so in no time: then
	// nothing is gained by a batch. What a message takes among others goes up with all that a
	// machine does; the answer to one that met a quiet moment does not.
	cheapSingle = 60 * time.Microsecond
	cheapAnswer = 200 * time.Microsecond

	eachInBatch  = 12 * time.Microsecond
	leastBatch   = 200 * time.Microsecond
	rowOfSingles = 16 // messages, to measure by

	answerPeriod = 5 * time.Minute
	batchPeriod  = 2 * time.Second

	maxInFlight = 512 // messages sent and not answered
)

func newCost(a *answer) cost {
	return cost{
		message: 20 * time.Microsecond,
		answer:  a,
		fixed:   lowest{period: batchPeriod, value: 2 * time.Millisecond},
	}
}

// cheap reports whether single messages cost so little that batches are not worth while.
func (c *cost) cheap() bool { return c.message < cheapSingle || c.answer.cheap() }

// few is how many messages are better sent one by one: about as many as take as long as a batch.
func (c *cost) few() int { return min(max(int(c.fixed.value/c.message), 8), maxInFlight) }

// begin notes that single messages are sent, while so many are under way.
func (c *cost) begin(underWay int) {
	if underWay == 0 {
		c.since = time.Now()
		c.acks = 0
	}
}

// single notes the answer to a message that was sent by itself, and whether it was written then. A
// row of them that were under way together shows what each takes.
func (c *cost) single(sent time.Time, durable bool) {
	now := time.Now()
	if durable { // neither a refusal nor a repetition is written
		c.answer.add(now, now.Sub(sent))
	}
	c.acks++
	if c.acks < rowOfSingles {
		return
	}

	each := now.Sub(c.since) / time.Duration(c.acks)
	c.message = max((c.message*3+each)/4, time.Microsecond)
	c.since = now
	c.acks = 0
}

// batch notes what a batch took.
func (c *cost) batch(took time.Duration, messages int) {
	c.fixed.add(time.Now(), max(took-time.Duration(messages)*eachInBatch, leastBatch))
}

// answer is how long the server takes to make one message durable, whatever the stream. It is safe
// for concurrent use.
type answer struct {
	mu sync.Mutex
	lowest
}

func newAnswer() *answer { return &answer{lowest: lowest{period: answerPeriod}} }

func (a *answer) add(now time.Time, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lowest.add(now, d)
}

func (a *answer) cheap() bool {
	a.mu.Lock()
	defer a.mu.Unlock()

	return a.value < cheapAnswer
}

// lowest is the lowest measure of the last one to two periods: whatever else a machine does only
// adds to it.
type lowest struct {
	period       time.Duration
	value        time.Duration
	best, before time.Duration // in this period and the one before; 0 for none
	began        time.Time     // this period
}

func (l *lowest) add(now time.Time, d time.Duration) {
	if now.Sub(l.began) > l.period {
		l.before = l.best
		l.best = d
		l.began = now
	}

	l.best = min(l.best, d)
	l.value = l.best
	if l.before > 0 {
		l.value = min(l.best, l.before)
	}
}
