package queue

import (
	"sync"
	"time"
)

// cost measures how long the server takes for single messages and for batches, and decides which of
// them to send.
type cost struct {
	messageTime   time.Duration  // recent time per message while several are in progress
	ackLatency    *ackLatency    // of the connection
	batchOverhead slidingMinimum // time of a batch beyond that of its messages

	since time.Time // when the current series of answers to single messages began
	acks  int       // messages of that series that were answered
}

const (
	// If a message takes less than either of these times, the server does not sync for each
	// message, or syncs very fast, and a batch gains nothing. cheapMessageTime is for the time per
	// message while several are in progress, which rises with the load of the machine. cheapAckTime
	// is for the fastest answer to one message, minus the fastest round trip. That time does not
	// rise with the load, if one message of the last minutes was answered at a quiet moment.
	cheapMessageTime = 60 * time.Microsecond
	cheapAckTime     = 100 * time.Microsecond

	batchMessageTime = 12 * time.Microsecond
	minBatchTime     = 200 * time.Microsecond
	seriesLength     = 16 // answers in a series

	ackPeriod   = 5 * time.Minute
	batchPeriod = 2 * time.Second

	maxInFlight = 512 // messages sent and not answered
)

func newCost(a *ackLatency) cost {
	return cost{
		messageTime:   20 * time.Microsecond,
		ackLatency:    a,
		batchOverhead: slidingMinimum{period: batchPeriod, value: 2 * time.Millisecond},
	}
}

// cheap reports whether single messages are so cheap that batches gain nothing.
func (c *cost) cheap() bool {
	switch c.ackLatency.durability {
	case SyncAlways:
		return false
	case SyncLater:
		return true
	}

	return c.messageTime < cheapMessageTime || c.ackLatency.cheap()
}

// maxSingles is the largest number of messages that are faster one by one: as many as the server
// processes in the time of batchOverhead.
func (c *cost) maxSingles() int {
	return min(max(int(c.batchOverhead.value/c.messageTime), 8), maxInFlight)
}

// begin is called before single messages are sent. If none is in progress, a new series begins.
func (c *cost) begin(inProgress int) {
	if inProgress == 0 {
		c.since = time.Now()
		c.acks = 0
	}
}

// single records the answer to a single message. durable says whether the message was written. The
// time of a series of answers shows how long one message takes while several are in progress.
func (c *cost) single(sent time.Time, durable bool) {
	now := time.Now()
	if durable { // refused and repeated messages are not written
		c.ackLatency.add(now, now.Sub(sent))
	}
	c.acks++
	if c.acks < seriesLength {
		return
	}

	each := now.Sub(c.since) / time.Duration(c.acks)
	c.messageTime = max((c.messageTime*3+each)/4, time.Microsecond)
	c.since = now
	c.acks = 0
}

func (c *cost) batch(took time.Duration, messages int) {
	c.batchOverhead.add(time.Now(), max(took-time.Duration(messages)*batchMessageTime, minBatchTime))
}

// ackLatency is how long the server takes to make one message durable, whatever the stream. It is
// safe for concurrent use.
type ackLatency struct {
	durability Durability

	mu        sync.Mutex
	ack       slidingMinimum
	roundTrip slidingMinimum // without a write
}

func newAckLatency(d Durability) *ackLatency {
	return &ackLatency{
		durability: d,
		ack:        slidingMinimum{period: ackPeriod},
		roundTrip:  slidingMinimum{period: ackPeriod},
	}
}

func (a *ackLatency) add(now time.Time, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ack.add(now, d)
}

func (a *ackLatency) addRoundTrip(now time.Time, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roundTrip.add(now, d)
}

func (a *ackLatency) cheap() bool {
	a.mu.Lock()
	defer a.mu.Unlock()

	return a.ack.value < a.roundTrip.value+cheapAckTime
}

// slidingMinimum is the lowest value of the last one to two periods. Other load on the machine only
// raises the values.
type slidingMinimum struct {
	period            time.Duration
	value             time.Duration
	current, previous time.Duration // in this period and the one before; 0 for none
	began             time.Time     // this period
}

func (l *slidingMinimum) add(now time.Time, d time.Duration) {
	if now.Sub(l.began) > l.period {
		l.previous = l.current
		l.current = d
		l.began = now
	}

	l.current = min(l.current, d)
	l.value = l.current
	if l.previous > 0 {
		l.value = min(l.current, l.previous)
	}
}
