package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/backoff"
	"backburn/internal/jets"
	"backburn/pipeline"
)

// reader reads the last messages of given subjects of one stream. A few subjects are requested one
// by one, which costs the server little. Reads of many callers at the same time are combined into
// one request. It is safe for concurrent use.
type reader struct {
	nc     *nats.Conn
	api    string // the subject of requests: a direct get, which any replica answers
	prefix string // of the reply subjects
	once   sync.Once
	fault  error // why there is no subscription to answers; nil if there is one

	mu      sync.Mutex
	queue   map[string][]chan *jetstream.RawStreamMsg // waiting callers, by the subject that is not requested yet
	rounds  map[uint64]*round
	token   uint64
	overdue *time.Timer // runs while a round is in progress
}

// readRequest is the body of a request (ADR-31 of NATS).
type readRequest struct {
	Subjects []string `json:"multi_last"`
	MaxBytes int      `json:"max_bytes"`
}

// round is one request.
type round struct {
	wanted map[string][]chan *jetstream.RawStreamMsg // waiting callers, by the subject without an answer
	single bool                                      // the request is for one subject, so one message answers it
	sent   time.Time
}

const (
	maxReadSubjects = 512     // subjects of one request; the server allows 1,024 at most
	readBytes       = 8 << 20 // limit of the server's answer, so that it does not overflow the connection
	maxReadRounds   = 8       // rounds in progress at a time
	maxCombined     = 2       // rounds in progress that may be for several subjects each
)

var errReadUnanswered = errors.New("no answer to a read")

func newReader(nc *nats.Conn, api, stream string) *reader {
	return &reader{
		nc:     nc,
		api:    api + "DIRECT.GET." + stream,
		queue:  map[string][]chan *jetstream.RawStreamMsg{},
		rounds: map[uint64]*round{},
	}
}

// last returns the last message of each of the subjects, or nil if there is none. It repeats the
// request until it is answered or ctx ends.
func (r *reader) last(ctx context.Context, subjects ...string) ([]*jetstream.RawStreamMsg, error) {
	for attempt := 0; ; attempt++ {
		msgs, err := r.try(ctx, subjects)
		switch {
		case err == nil:
			return msgs, nil
		case !errors.Is(err, errReadUnanswered):
			return nil, fmt.Errorf("read the ledger: %w", err)
		}

		if serr := pipeline.Sleep(ctx, backoff.Delay(attempt, 50*time.Millisecond, 2*time.Second)); serr != nil {
			return nil, fmt.Errorf("read the ledger: %w", jets.GaveUp(serr, err))
		}
	}
}

func (r *reader) try(ctx context.Context, subjects []string) ([]*jetstream.RawStreamMsg, error) {
	r.once.Do(r.subscribe)
	if r.fault != nil {
		return nil, r.fault
	}

	answers := make([]chan *jetstream.RawStreamMsg, len(subjects))
	r.mu.Lock()
	for i, s := range subjects {
		answers[i] = make(chan *jetstream.RawStreamMsg, 1)
		r.queue[s] = append(r.queue[s], answers[i])
	}
	r.send()
	r.mu.Unlock()

	msgs := make([]*jetstream.RawStreamMsg, len(subjects))
	for i, answer := range answers {
		select {
		case m, ok := <-answer:
			if !ok {
				return nil, errReadUnanswered
			}
			msgs[i] = m
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}

	return msgs, nil
}

func (r *reader) subscribe() {
	r.prefix = r.nc.NewInbox() + "."

	sub, err := r.nc.Subscribe(r.prefix+"*", r.handleAnswer)
	if err != nil {
		r.fault = fmt.Errorf("subscribe to answers: %w", err)
		return
	}
	_ = sub.SetPendingLimits(-1, -1)
}

// send requests the gathered subjects. The caller holds mu.
func (r *reader) send() {
	for len(r.queue) > 0 && len(r.rounds) < maxReadRounds {
		limit := maxReadSubjects
		if len(r.queue) <= maxReadRounds-len(r.rounds) {
			limit = 1
		} else if r.combined() >= maxCombined {
			break
		}

		wanted := make(map[string][]chan *jetstream.RawStreamMsg, min(len(r.queue), limit))
		for s, answers := range r.queue {
			delete(r.queue, s)
			if wanted[s] = answers; len(wanted) == limit {
				break
			}
		}
		r.start(&round{wanted: wanted, single: len(wanted) == 1, sent: time.Now()})
	}

	if r.overdue == nil && len(r.rounds) > 0 {
		r.overdue = time.AfterFunc(commitTimeout/8, r.failOverdue)
	}
}

// combined returns how many rounds with several subjects are in progress. The caller holds mu.
func (r *reader) combined() int {
	n := 0
	for _, round := range r.rounds {
		if !round.single {
			n++
		}
	}

	return n
}

// start sends the request of a round. The caller holds mu.
func (r *reader) start(next *round) {
	r.token++
	r.rounds[r.token] = next
	reply := r.prefix + strconv.FormatUint(r.token, 10)
	subjects := slices.Collect(maps.Keys(next.wanted))

	var err error
	if next.single {
		err = r.nc.PublishRequest(r.api+"."+subjects[0], reply, nil)
	} else {
		var body []byte
		if body, err = json.Marshal(readRequest{Subjects: subjects, MaxBytes: readBytes}); err == nil {
			err = r.nc.PublishRequest(r.api, reply, body)
		}
	}
	if err != nil {
		r.end(r.token, false)
	}
}

// end ends a round. If it is complete, subjects without an answer do not exist; otherwise they were
// not answered. The caller holds mu.
func (r *reader) end(token uint64, complete bool) {
	for _, answers := range r.rounds[token].wanted {
		for _, answer := range answers {
			if complete {
				answer <- nil
			}
			close(answer)
		}
	}
	delete(r.rounds, token)
}

// failOverdue ends the rounds that were not answered in time.
func (r *reader) failOverdue() {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.overdue = nil
	for token, round := range r.rounds {
		if time.Since(round.sent) > commitTimeout {
			r.end(token, false)
		}
	}

	r.send()
}

// handleAnswer handles one message of a round, or its end.
func (r *reader) handleAnswer(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[len(r.prefix):], 10, 64)
	if err != nil {
		return
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	round := r.rounds[token]
	if round == nil {
		return
	}

	status := m.Header.Get("Status")
	if status == "" {
		raw := directMessage(m)
		for _, answer := range round.wanted[raw.Subject] {
			answer <- raw
		}
		delete(round.wanted, raw.Subject)
		if round.single {
			r.end(token, true)
			r.send()
		}
		return
	}

	left := m.Header.Get("Nats-Num-Pending")
	switch {
	case round.single && status == "404": // no message, or an unreadable one: a request for several subjects distinguishes these
		delete(r.rounds, token)
		round.single = false
		r.start(round)
	case status == "204" && left != "" && left != "0":
		r.resume(token)
	case status == "204", status == "404" && strings.HasPrefix(m.Header.Get("Description"), "No Results"):
		r.end(token, true)
	default:
		r.end(token, false)
	}

	r.send()
}

// resume requests the rest of a round whose answer was truncated. The caller holds mu.
func (r *reader) resume(token uint64) {
	for s, answers := range r.rounds[token].wanted {
		r.queue[s] = append(r.queue[s], answers...)
	}
	delete(r.rounds, token)
}

// directMessage returns the message that a direct get found, as the stream stores it.
func directMessage(m *nats.Msg) *jetstream.RawStreamMsg {
	seq, _ := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	at, _ := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))

	return &jetstream.RawStreamMsg{
		Subject:  m.Header.Get(jetstream.SubjectHeader),
		Sequence: seq,
		Header:   m.Header,
		Data:     m.Data,
		Time:     at,
	}
}
