package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"backburn/internal/backoff"
	"backburn/internal/jets"
	"backburn/pipeline"
)

// committer publishes messages to one stream for many callers at once (group commit). It sends
// single messages while those are cheap. If the server syncs its disk for each message, the
// messages that gather while it processes earlier ones are sent as one atomic batch, because the
// server syncs only once for a batch. No caller waits for a batch to fill.
//
// It has no goroutine of its own: callers send, and each answer from the server triggers the next
// send. It is safe for concurrent use.
type committer struct {
	nc       *nats.Conn
	recreate func(context.Context, error) // creates the stream again if the error says that it is missing
	inbox    string                       // prefix of the reply subjects
	once     sync.Once
	fault    error // why there is no subscription to answers; nil if there is one

	mu      sync.Mutex
	queue   []*group             // groups that are not sent yet
	queued  int                  // messages in queue
	singles map[uint64]*outgoing // single messages in progress, by token
	batch   *batch               // the atomic batch in progress
	token   uint64               // of the last reply subject
	check   *time.Timer          // runs while anything is in progress
	cost    cost
}

// group holds the messages of one caller, in order. Sent as single messages, some may be refused
// and others not. In a batch all are accepted, or the batch is refused and each message is sent
// again by itself.
type group struct {
	messages []*outgoing
	left     int // messages without an outcome
	done     chan struct{}
}

type outgoing struct {
	msg   *nats.Msg
	group *group
	sent  time.Time

	seq uint64 // its sequence in the stream, once it is durable
	err error
}

// batch holds the messages of whole groups that were sent as one atomic batch.
type batch struct {
	messages []*outgoing
	token    uint64
	sent     time.Time
}

// The server's limits for a batch, and the headers of the protocol (ADR-50 of NATS).
const (
	maxBatchMessages = 1000
	maxBatchBytes    = 8 << 20

	headerBatchID     = "Nats-Batch-Id"
	headerBatchSeq    = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
	headerExpect      = "Nats-Expected-Last-Subject-Sequence"
	headerTTL         = "Nats-TTL"
)

// commitTimeout bounds the wait for one answer. A message without an answer may be durable or not.
const commitTimeout = 5 * time.Second

// errNoAnswer says that a message got no answer: it may be durable or not.
var errNoAnswer = fmt.Errorf("no answer within %s: %w", commitTimeout, nats.ErrTimeout)

func newCommitter(nc *nats.Conn, a *ackLatency, recreate func(context.Context, error)) *committer {
	return &committer{
		nc:       nc,
		recreate: recreate,
		singles:  map[uint64]*outgoing{},
		cost:     newCost(a),
	}
}

// commit sends messages, and returns once each has an outcome or ctx ends. In the second case,
// messages that were not sent yet may still be sent. It returns the first error in the order of the
// messages.
func (c *committer) commit(ctx context.Context, msgs ...*nats.Msg) ([]*outgoing, error) {
	c.once.Do(c.subscribe)
	if c.fault != nil {
		return nil, c.fault
	}

	g := &group{left: len(msgs), done: make(chan struct{}), messages: make([]*outgoing, len(msgs))}
	for i, m := range msgs {
		g.messages[i] = &outgoing{msg: m, group: g}
	}

	c.mu.Lock()
	c.queue = append(c.queue, g)
	c.queued += len(msgs)
	c.send()
	c.mu.Unlock()

	select {
	case <-g.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	for _, m := range g.messages {
		if m.err != nil {
			return g.messages, m.err
		}
	}

	return g.messages, nil
}

// publish sends messages, and sends again those that failed or got no answer, until all are
// durable, one is refused for good, or ctx ends. It returns the sequence of every message that is
// known to be durable, and 0 for the others.
func (c *committer) publish(ctx context.Context, msgs ...*nats.Msg) (seqs []uint64, err error) {
	seqs = make([]uint64, len(msgs))
	for attempt := 0; ; attempt++ {
		var left []*nats.Msg
		var at []int // where they are in msgs
		for i, m := range msgs {
			if seqs[i] == 0 {
				left = append(left, m)
				at = append(at, i)
			}
		}

		outcomes, err := c.commit(ctx, left...)
		var failed error
		for k, o := range outcomes {
			seqs[at[k]] = o.seq
			if perr := permanent(o.err); perr != nil && failed == nil {
				failed = fmt.Errorf("publish to %s: %w", o.msg.Subject, perr)
			}
		}

		switch {
		case err == nil || failed != nil:
			return seqs, failed
		case outcomes == nil && ctx.Err() == nil: // no subscription
			return seqs, err
		}
		if serr := pipeline.Sleep(ctx, backoff.Delay(attempt, 50*time.Millisecond, 2*time.Second)); serr != nil {
			return seqs, fmt.Errorf("publish to %s: %w", msgs[0].Subject, jets.GaveUp(serr, err))
		}
		if attempt > 0 { // not after the first: a server that is shutting down returns the same error
			c.recreate(ctx, err)
		}
	}
}

// permanent returns the error if an immediate retry cannot succeed, or nil.
func permanent(err error) error {
	switch class := jets.Classify(err); {
	case class == jets.Conflict:
		return pipeline.ErrConflict
	case class == jets.Full:
		return fmt.Errorf("%w: %w", pipeline.ErrFull, err)
	case class.Refused(), errors.Is(err, nats.ErrConnectionClosed):
		return jets.Explain("", err)
	}

	return nil
}

// refused reports whether a failed publish definitely had no effect.
func refused(err error) bool { return jets.Classify(err).Refused() }

func (c *committer) subscribe() {
	c.inbox = c.nc.NewInbox() + "."

	sub, err := c.nc.Subscribe(c.inbox+"*", c.handleAck)
	if err != nil {
		c.fault = fmt.Errorf("subscribe to acknowledgments: %w", err)
		return
	}
	_ = sub.SetPendingLimits(-1, -1) // answers are small, and no more than messages in progress
}

// send sends the messages that may be sent now. The caller holds mu.
func (c *committer) send() {
sending:
	for len(c.queue) > 0 && c.batch == nil && len(c.singles) < maxInFlight {
		switch limit := c.cost.maxSingles(); {
		case c.cost.cheap() || c.queued+len(c.singles) <= limit || len(c.queue[0].messages) > maxBatchMessages:
			c.sendSingles()
		case len(c.singles) == 0:
			c.sendBatch()
		default:
			break sending // wait for the answers to the messages in progress; meanwhile more gather
		}
	}

	if c.check == nil && (c.batch != nil || len(c.singles) > 0) {
		c.check = time.AfterFunc(commitTimeout/8, c.failOverdue)
	}
}

// sendSingles sends the next group message by message. The caller holds mu.
func (c *committer) sendSingles() {
	g := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	c.queued -= len(g.messages)

	c.cost.begin(len(c.singles))
	for _, m := range g.messages {
		c.sendSingle(m)
	}
}

// sendSingle sends a message. The caller holds mu.
func (c *committer) sendSingle(m *outgoing) {
	c.token++
	m.sent = time.Now()
	m.msg.Reply = c.inbox + strconv.FormatUint(c.token, 10)
	c.singles[c.token] = m

	if err := c.nc.PublishMsg(m.msg); err != nil {
		delete(c.singles, c.token)
		m.complete(0, err)
	}
}

// sendBatch sends the gathered messages as one atomic batch. The caller holds mu.
func (c *committer) sendBatch() {
	b := c.gather()
	c.token++
	b.token = c.token
	b.sent = time.Now()
	c.batch = b

	id := nuid.Next()
	for i, m := range b.messages {
		m.msg.Reply = ""
		m.msg.Header[headerBatchID] = []string{id}
		m.msg.Header[headerBatchSeq] = []string{strconv.Itoa(i + 1)}
		if i == len(b.messages)-1 {
			m.msg.Header[headerBatchCommit] = []string{"1"}
			m.msg.Reply = c.inbox + strconv.FormatUint(b.token, 10)
		}

		if err := c.nc.PublishMsg(m.msg); err != nil {
			c.batch = nil
			b.fail(err)
			return
		}
	}
}

// gather takes groups out of the queue for a batch. If a group expects a sequence for a subject,
// other groups with that subject stay in the queue: the server allows no expectation on a subject
// that the same batch has already written.
func (c *committer) gather() *batch {
	b := &batch{}
	bytes := 0
	subjects := make(map[string]bool, c.queued)
	later := c.queue[:0:0]

	for _, g := range c.queue {
		if len(b.messages)+len(g.messages) > maxBatchMessages || bytes > maxBatchBytes || g.usesAny(subjects) {
			later = append(later, g)
			continue
		}

		for _, m := range g.messages {
			if m.msg.Header[headerExpect] != nil {
				subjects[m.msg.Subject] = true
			}
			bytes += len(m.msg.Data)
		}
		b.messages = append(b.messages, g.messages...)
	}

	c.queue = later
	c.queued -= len(b.messages)

	return b
}

func (g *group) usesAny(subjects map[string]bool) bool {
	return slices.ContainsFunc(g.messages, func(m *outgoing) bool { return subjects[m.msg.Subject] })
}

// complete records the outcome of a message, and wakes its caller after the last one.
func (m *outgoing) complete(seq uint64, err error) {
	m.seq = seq
	m.err = err

	if m.group.left--; m.group.left == 0 {
		close(m.group.done)
	}
}

func (b *batch) fail(err error) {
	for _, m := range b.messages {
		m.removeBatchHeaders()
		m.complete(0, err)
	}
}

// removeBatchHeaders removes the headers of a batch, so that the message can be sent by itself.
func (m *outgoing) removeBatchHeaders() {
	delete(m.msg.Header, headerBatchID)
	delete(m.msg.Header, headerBatchSeq)
	delete(m.msg.Header, headerBatchCommit)
}

func (c *committer) handleAck(answer *nats.Msg) {
	token, err := strconv.ParseUint(answer.Subject[len(c.inbox):], 10, 64)
	if err != nil {
		return
	}
	seq, err := readAck(answer)

	c.mu.Lock()
	defer c.mu.Unlock()

	if b := c.batch; b != nil && b.token == token {
		c.batch = nil
		c.batchAnswered(b, seq, err)
	} else if m := c.singles[token]; m != nil {
		delete(c.singles, token)
		c.cost.single(m.sent, err == nil && !bytes.Contains(answer.Data, duplicate))
		m.complete(seq, err)
	}

	c.send()
}

// batchAnswered handles the answer to a batch. A refused batch is split: each message is sent again
// by itself and succeeds or fails alone. The caller holds mu.
func (c *committer) batchAnswered(b *batch, last uint64, err error) {
	if err == nil {
		c.cost.batch(time.Since(b.sent), len(b.messages))
		first := last + 1 - uint64(len(b.messages))
		for i, m := range b.messages {
			m.complete(first+uint64(i), nil)
		}
		return
	}

	c.cost.begin(0)
	for _, m := range b.messages {
		m.removeBatchHeaders()
		c.sendSingle(m)
	}
}

// failOverdue gives up on messages that were not answered in time.
func (c *committer) failOverdue() {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.check = nil
	for token, m := range c.singles {
		if time.Since(m.sent) > commitTimeout {
			delete(c.singles, token)
			m.complete(0, errNoAnswer)
		}
	}
	if b := c.batch; b != nil && time.Since(b.sent) > commitTimeout {
		c.batch = nil
		b.fail(errNoAnswer)
	}

	c.send()
}

// duplicate is the field of an acknowledgment that says that the message existed before.
var duplicate = []byte(`"duplicate":true`)

// readAck reads a publish acknowledgment: {"stream":"S","seq":12,…} or {"error":{…}}. The first
// form has a fast parser of its own, because every message gets such an answer. If the server
// already knows the message's ID, the message is durable under the returned sequence.
func readAck(m *nats.Msg) (seq uint64, err error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return 0, nats.ErrNoResponders
	}

	if bytes.HasPrefix(m.Data, []byte(`{"stream":`)) {
		if _, rest, ok := bytes.Cut(m.Data, []byte(`"seq":`)); ok {
			end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
			if seq, err = strconv.ParseUint(string(rest[:max(end, 0)]), 10, 64); err == nil && seq > 0 {
				return seq, nil
			}
		}
	}

	var r struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return 0, fmt.Errorf("invalid acknowledgment: %w", err)
	}
	if r.Error != nil {
		return 0, r.Error
	}

	return 0, errors.New("invalid acknowledgment")
}
