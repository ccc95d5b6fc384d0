package queue

import "time"

// cost is what the server takes for single messages and for batches, measured from what is sent. It
// says which of them to send. Whatever else the machine does only adds to a measure, so the lowest
// of the last seconds counts: a busy machine is not a server that syncs.
type cost struct {
	message lowest // for one message among others
	answer  lowest // from a single message to its answer
	fixed   lowest // for a batch, apart from its messages

	since time.Time // when the row of singles under way began
	acks  int       // of that row
}

const (
	// Below one of these a server does not sync for each message, or does so in no time: then
	// nothing is gained by a batch. What a message takes is no measure on a busy machine, and its
	// answer is none across a network.
	cheapSingle = 60 * time.Microsecond
	cheapAnswer = 250 * time.Microsecond

	eachInBatch  = 12 * time.Microsecond
	leastBatch   = 200 * time.Microsecond
	costPeriod   = 2 * time.Second
	rowOfSingles = 16 // messages, to measure by

	maxInFlight = 512 // messages sent and not answered
)

func newCost() cost {
	return cost{
		message: lowest{value: 20 * time.Microsecond},
		answer:  lowest{value: 20 * time.Microsecond},
		fixed:   lowest{value: 2 * time.Millisecond},
	}
}

// cheap reports whether single messages cost so little that batches are not worth while.
func (c *cost) cheap() bool { return c.message.value < cheapSingle || c.answer.value < cheapAnswer }

// few is how many messages are better sent one by one: about as many as take as long as a batch.
func (c *cost) few() int { return min(max(int(c.fixed.value/c.message.value), 8), maxInFlight) }

// begin notes that single messages are sent, while so many are under way.
func (c *cost) begin(underWay int) {
	if underWay == 0 {
		c.since = time.Now()
		c.acks = 0
	}
}

// single notes the answer to a message that was sent by itself. A row of them that were under way
// together shows what each takes.
func (c *cost) single(sent time.Time) {
	now := time.Now()
	c.answer.add(now, now.Sub(sent))
	c.acks++
	if c.acks < rowOfSingles {
		return
	}

	c.message.add(now, max(now.Sub(c.since)/time.Duration(c.acks), time.Microsecond))
	c.since = now
	c.acks = 0
}

// batch notes what a batch took.
func (c *cost) batch(took time.Duration, messages int) {
	c.fixed.add(time.Now(), max(took-time.Duration(messages)*eachInBatch, leastBatch))
}

// lowest is the lowest measure of the last one to two periods.
type lowest struct {
	value        time.Duration
	best, before time.Duration // in this period and the one before; 0 for none
	period       time.Time     // when this one began
}

func (l *lowest) add(now time.Time, d time.Duration) {
	if now.Sub(l.period) > costPeriod {
		l.before = l.best
		l.best = d
		l.period = now
	}

	l.best = min(l.best, d)
	l.value = l.best
	if l.before > 0 {
		l.value = min(l.best, l.before)
	}
}
