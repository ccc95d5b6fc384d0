package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/internal/jets"
	"backburn/pipeline"
	"backburn/results"
)

func groupOf(msgs ...*nats.Msg) *group {
	g := &group{left: len(msgs), done: make(chan struct{})}
	for _, m := range msgs {
		g.messages = append(g.messages, &outgoing{msg: m, group: g})
	}

	return g
}

// asBatches makes a committer assume that its server syncs each message.
func asBatches(c *committer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cost.messageTime = time.Millisecond
	c.cost.ackLatency.add(time.Now(), time.Millisecond)
	c.cost.batchOverhead = slidingMinimum{value: time.Millisecond}
}

// sendAsBatch sends messages as if they had gathered while the server was busy.
func sendAsBatch(c *committer, groups ...*group) {
	c.once.Do(c.subscribe)
	asBatches(c)

	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range groups {
		c.queue = append(c.queue, g)
		c.queued += len(g.messages)
	}
	c.send()
}

func await(t *testing.T, groups ...*group) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for i, g := range groups {
		select {
		case <-g.done:
		case <-deadline:
			t.Fatalf("group %d has no outcome", i)
		}
	}
}

// Each caller gets the outcome of its own messages, whatever was sent together.
func TestCommitterGivesEachCallerItsOutcome(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, q *Queue) {
		asBatches(q.ledger.commits)

		var callers sync.WaitGroup
		for n := range 400 {
			callers.Go(func() {
				key := fmt.Sprint(n)
				var wrong uint64
				if n%10 == 0 {
					wrong = 1 << 40 // a revision that no record has
				}
				a := change(q.SampleSubject(key), []byte("a"+key), 0, nil)
				b := change(q.JobRecordSubject(pipeline.Ref{Source: "mail", ID: key}), []byte("b"+key), wrong, nil)

				err := q.ledger.Commit(t.Context(), a, b)
				switch {
				case wrong != 0 && !errors.Is(err, pipeline.ErrConflict):
					t.Errorf("caller %d: %v, want %v", n, err, pipeline.ErrConflict)
				case wrong == 0 && err != nil:
					t.Errorf("caller %d: %v", n, err)
				case wrong == 0:
					isAt(t, q, a.Revision, "a"+key)
					isAt(t, q, b.Revision, "b"+key)
				}
			})
		}
		callers.Wait()
	})
}

// isAt checks the ledger's message at a sequence.
func isAt(t *testing.T, q *Queue, seq uint64, body string) {
	t.Helper()
	m, err := q.streams.ledger.GetMsg(t.Context(), seq)
	if err != nil {
		t.Errorf("sequence %d: %v", seq, err)
		return
	}
	if string(m.Data) != body {
		t.Errorf("sequence %d holds %q, want %q", seq, m.Data, body)
	}
}

// A refused batch is split: a fault of one message does not affect the others.
func TestCommitterSplitsARefusedBatch(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, q *Queue) {
		groups := make([]*group, 60)
		for i := range groups {
			var replaces uint64
			if i == 17 {
				replaces = 4711
			}
			groups[i] = groupOf(change(q.SampleSubject(fmt.Sprint(i)), fmt.Append(nil, i), replaces, nil).msg)
		}

		sendAsBatch(q.ledger.commits, groups...)
		await(t, groups...)
		for i, g := range groups {
			m := g.messages[0]
			if jets.Is(m.err, jets.Conflict) != (i == 17) || i != 17 && m.err != nil {
				t.Errorf("message %d: %v", i, m.err)
			}
			if i != 17 {
				isAt(t, q, m.seq, fmt.Sprint(i))
			}
			if m.msg.Header.Get(headerBatchID) != "" {
				t.Errorf("message %d has a header of the batch", i)
			}
		}
	})
}

// Events repeat: the server refuses a batch with a known ID. The other messages and the repeat must
// still succeed.
func TestCommitterOfRepeatedIDs(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, q *Queue) {
		event := func(id string) *group {
			m := nats.NewMsg(q.ResultsSubject("verdict", "benign", "mail"))
			m.Header[nats.MsgIdHdr] = []string{id}
			return groupOf(m)
		}

		first := event("0")
		sendAsBatch(q.events.commits, first)
		await(t, first)
		groups := []*group{event("0"), event("1"), event("2"), event("2")}
		sendAsBatch(q.events.commits, append(groups, event("3"), event("4"), event("5"), event("6"), event("7"), event("8"))...)
		await(t, groups...)

		for i, g := range groups {
			m := g.messages[0]
			if m.err != nil {
				t.Errorf("event %d: %v", i, m.err)
			}
			if want := []uint64{1, 2, 3, 3}[i]; m.seq != want {
				t.Errorf("event %d is at %d, want %d", i, m.seq, want)
			}
		}
	})
}

// A batch has a subject with an expected sequence only once, and stays within the server's limits.
// The remaining messages keep their order.
func TestCommitterGathers(t *testing.T) {
	t.Parallel()

	on := func(subject string, size int) *group { return groupOf(change(subject, make([]byte, size), 0, nil).msg) }
	var many []*group
	for i := range 1500 {
		many = append(many, on(fmt.Sprint(i), 1))
	}
	var large []*group
	for i := range 20 {
		large = append(large, on(fmt.Sprint(i), 1<<20))
	}
	pair := groupOf(change("a", nil, 0, nil).msg, change("b", nil, 0, nil).msg)

	for name, tc := range map[string]struct {
		queue []*group
		taken int // messages
		left  int // groups
	}{
		"different subjects":      {[]*group{on("a", 1), on("b", 1)}, 2, 0},
		"the same subject":        {[]*group{on("a", 1), on("a", 1), on("b", 1), on("a", 1)}, 2, 2},
		"one subject of a group":  {[]*group{pair, on("b", 1), on("c", 1)}, 3, 1},
		"without an expectation":  {[]*group{groupOf(nats.NewMsg("a")), groupOf(nats.NewMsg("a"))}, 2, 0},
		"more than a batch holds": {many, maxBatchMessages, 500},
		"more bytes than it may":  {large, 9, 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCommitter(nil, newAckLatency(SyncUnknown), nil)
			c.queue = append(c.queue, tc.queue...)
			for _, g := range tc.queue {
				c.queued += len(g.messages)
			}
			before := c.queued

			b := c.gather()
			if len(b.messages) != tc.taken || len(c.queue) != tc.left || c.queued != before-tc.taken {
				t.Errorf("%d messages, %d groups left, %d messages left; want %d, %d, %d",
					len(b.messages), len(c.queue), c.queued, tc.taken, tc.left, before-tc.taken)
			}
			subjects := map[string]bool{}
			for _, m := range b.messages {
				if m.msg.Header[headerExpect] != nil && subjects[m.msg.Subject] {
					t.Errorf("subject %s is in the batch twice", m.msg.Subject)
				}
				subjects[m.msg.Subject] = true
			}
		})
	}
}

// Messages that do not fit into a batch are sent as well.
func TestCommitterOfAVeryLargeGroup(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	asBatches(q.ledger.commits)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	changes := make([]*Change, maxBatchMessages+1)
	for i := range changes {
		changes[i] = change(q.SampleSubject(fmt.Sprint(i)), nil, 0, nil)
	}
	if err := q.ledger.Commit(ctx, changes...); err != nil {
		t.Fatal(err)
	}
	for i, c := range changes {
		if c.Revision == 0 {
			t.Fatalf("change %d has no revision", i)
		}
	}
}

// Without an answer the caller gets an error, as soon for a batch as for a message, and the next
// messages are sent.
func TestCommitterWithoutAnswer(t *testing.T) {
	t.Parallel()
	nc := connectTo(t, startServer(t, t.TempDir(), false).ClientURL())
	if _, err := nc.Subscribe("silent.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe("loud", func(m *nats.Msg) { _ = m.Respond([]byte(`{"stream":"S","seq":7}`)) }); err != nil {
		t.Fatal(err)
	}

	for name, batch := range map[string]bool{"single": false, "batch": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCommitter(nc, newAckLatency(SyncUnknown), nil)
			var groups []*group
			for i := range 20 {
				groups = append(groups, groupOf(nats.NewMsg("silent."+strconv.Itoa(i))))
			}
			if batch {
				sendAsBatch(c, groups...)
				await(t, groups...)
			} else {
				_, err := c.commit(t.Context(), nats.NewMsg("silent.a"))
				if !errors.Is(err, errNoAnswer) {
					t.Errorf("%v, want %v", err, errNoAnswer)
				}
				groups = nil
			}
			for _, g := range groups {
				if !errors.Is(g.messages[0].err, errNoAnswer) {
					t.Fatalf("the first message: %v, want %v", g.messages[0].err, errNoAnswer)
				}
			}

			sent, err := c.commit(t.Context(), nats.NewMsg("loud"))
			if err != nil || sent[0].seq != 7 {
				t.Errorf("the next message: %+v, %v", sent, err)
			}
		})
	}
}

// A caller that has given up does not block the others.
func TestCommitterWithoutCaller(t *testing.T) {
	t.Parallel()
	nc := connectTo(t, startServer(t, t.TempDir(), false).ClientURL())
	if _, err := nc.Subscribe("silent", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := newCommitter(nc, newAckLatency(SyncUnknown), nil).commit(ctx, nats.NewMsg("silent")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want %v", err, context.DeadlineExceeded)
	}
}

func TestReadAck(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		header nats.Header
		body   string
		seq    uint64
		fails  bool
	}{
		"plain":         {body: `{"stream":"S","seq":12}`, seq: 12},
		"duplicate":     {body: `{"stream":"S","seq":12,"duplicate": true}`, seq: 12},
		"domain":        {body: `{"stream":"S","domain":"d","seq":12,"duplicate":true}`, seq: 12},
		"batch":         {body: `{"stream":"S","seq":12,"batch":"b","count":3}`, seq: 12},
		"refused":       {body: `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"S","seq":0}`, fails: true},
		"refused late":  {body: `{"stream":"S","seq":0,"error":{"code":400,"err_code":10071,"description":"no"}}`, fails: true},
		"no responders": {header: nats.Header{"Status": {"503"}}, fails: true},
		"nothing":       {fails: true},
		"no JSON":       {body: `{"stream":`, fails: true},
		"no sequence":   {body: `{"stream":"S"}`, fails: true},
		"no number":     {body: `{"stream":"S","seq":"x"}`, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seq, err := readAck(&nats.Msg{Header: tc.header, Data: []byte(tc.body)})
			if seq != tc.seq || (err != nil) != tc.fails {
				t.Errorf("%d, %v; want %d, an error: %v", seq, err, tc.seq, tc.fails)
			}
		})
	}
}

// The end of a job was written, but the answer was lost. The repeat finds its own value and ends
// with the same event, once.
func TestFinishIsRepeatedAfterALostAnswer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, q *Queue) {
		m := &Message{Job: pipeline.Job{
			ID:       "a",
			Source:   "mail",
			Priority: pipeline.Normal,
			Kind:     pipeline.KindFile,
			Filename: "a.exe",
			Size:     4,
			SHA256:   "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		}}
		sample := SampleEntry{Key: m.Job.SHA256, Sample: pipeline.Sample{State: pipeline.StateVerdict}}
		ending := func(at time.Time) Ending {
			return Ending{
				Event:   pipeline.VerdictEvent(m.Job, sample.Sample, results.BasisLookup, at),
				Sample:  sample.Key,
				Changes: []*Change{q.ledger.SampleUpdate(sample)},
			}
		}

		// Every attempt assumes that nothing was written before.
		began := time.Now().UTC().Truncate(time.Second)
		var first results.Event
		for i := range 3 {
			ev, err := q.Events().Finish(t.Context(), m, ending(began.Add(time.Duration(i)*time.Second)))
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = ev
			}
			if !ev.Time.Equal(first.Time) {
				t.Errorf("try %d ended the job at %s, the first one at %s", i, ev.Time, first.Time)
			}
		}

		info, err := q.streams.results.Info(t.Context())
		if err != nil || info.State.Msgs != 1 {
			t.Errorf("%d events (%v), want 1", info.State.Msgs, err)
		}
	})
}

// Messages that gather while others are in progress are sent even if those never get an answer.
func TestCommitterGathersWithoutAnswer(t *testing.T) {
	t.Parallel()
	nc := connectTo(t, startServer(t, t.TempDir(), false).ClientURL())
	if _, err := nc.Subscribe("silent.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	c := newCommitter(nc, newAckLatency(SyncUnknown), nil)
	c.cost.messageTime = time.Millisecond // the server syncs, so few messages go one by one
	c.cost.ackLatency.add(time.Now(), time.Millisecond)

	var callers sync.WaitGroup
	for i := range 3 * c.cost.maxSingles() {
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 4*commitTimeout)
			defer cancel()
			if _, err := c.commit(ctx, nats.NewMsg("silent."+strconv.Itoa(i))); !errors.Is(err, errNoAnswer) {
				t.Errorf("%v, want %v", err, errNoAnswer)
			}
		})
	}
	callers.Wait()
}

// Batches are for servers that sync each message. Whether an unknown one does shows in its fastest
// answer, beyond the round trip.
func TestWhenMessagesAreCheap(t *testing.T) {
	t.Parallel()
	const us = time.Microsecond
	for name, tc := range map[string]struct {
		durability     Durability
		ack, roundTrip time.Duration
		among          time.Duration // of one message among others
		want           bool
	}{
		"it syncs, on a fast disk":              {SyncAlways, 90 * us, 60 * us, 20 * us, false},
		"it does not sync, on a busy machine":   {SyncLater, time.Millisecond, 60 * us, time.Millisecond, true},
		"unknown, no answer yet":                {SyncUnknown, 0, 0, 20 * us, true},
		"unknown, as fast as a round trip":      {SyncUnknown, 130 * us, 60 * us, 200 * us, true},
		"unknown, far away, and does not sync":  {SyncUnknown, 2050 * us, 2000 * us, 200 * us, true},
		"unknown, syncs a fast disk":            {SyncUnknown, 190 * us, 60 * us, 200 * us, false},
		"unknown, syncs a slow disk":            {SyncUnknown, 5 * time.Millisecond, 60 * us, time.Millisecond, false},
		"unknown, many messages at little cost": {SyncUnknown, 190 * us, 60 * us, 20 * us, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAckLatency(tc.durability)
			if tc.ack > 0 {
				a.add(time.Now(), tc.ack)
				a.addRoundTrip(time.Now(), tc.roundTrip)
			}
			c := newCost(a)
			c.messageTime = tc.among
			if got := c.cheap(); got != tc.want {
				t.Errorf("cheap: %t, want %t", got, tc.want)
			}
		})
	}
}
