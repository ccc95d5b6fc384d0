package queue

import (
	"sync"
	"time"
)

// cost measures how long the server takes for single messages and for batches, and decides which of
// them to send.
type cost struct {
	message time.Duration // recent time of one message among others
	answer  *answer       // of the connection
	fixed   lowest        // for a batch, apart from its messages

	since time.Time // when the current series of single messages began
	acks  int       // messages in that series
}

const (
	// Below one of these times a server does not sync for each message, or syncs very fast, and a
	// batch gains nothing. The time of a message among others rises with the load of the machine.
	// The fastest answer to one message does not, once there was one at a quiet moment.
	cheapSingle = 60 * time.Microsecond
	cheapAnswer = 200 * time.Microsecond

	eachInBatch  = 12 * time.Microsecond
	leastBatch   = 200 * time.Microsecond
	rowOfSingles = 16 // messages in a measurement

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

// cheap reports whether single messages are so cheap that batches gain nothing.
func (c *cost) cheap() bool { return c.message < cheapSingle || c.answer.cheap() }

// few is how many messages are better sent one by one: about as many as take the time of one batch.
func (c *cost) few() int { return min(max(int(c.fixed.value/c.message), 8), maxInFlight) }

// begin records that single messages are sent, and how many are in progress.
func (c *cost) begin(underWay int) {
	if underWay == 0 {
		c.since = time.Now()
		c.acks = 0
	}
}

// single records the answer to a single message, and whether it was written. A series of messages
// that were in progress together shows how long each takes.
func (c *cost) single(sent time.Time, durable bool) {
	now := time.Now()
	if durable { // refused and repeated messages are not written
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

// batch records how long a batch took.
func (c *cost) batch(took time.Duration, messages int) {
	c.fixed.add(time.Now(), max(took-time.Duration(messages)*eachInBatch, leastBatch))
}

// answer is how long the server takes to make one message durable, whatever the stream. It is safe
// for concurrent use.
type answer struct {
	lazy bool // it is known that the server does not sync for each message

	mu sync.Mutex
	lowest
}

func newAnswer(lazy bool) *answer {
	return &answer{lazy: lazy, lowest: lowest{period: answerPeriod}}
}

func (a *answer) add(now time.Time, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lowest.add(now, d)
}

func (a *answer) cheap() bool {
	a.mu.Lock()
	defer a.mu.Unlock()

	return a.lazy || a.value < cheapAnswer
}

// lowest is the lowest value of the last one to two periods. Other load on the machine only raises
// the values.
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
