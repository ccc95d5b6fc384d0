package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
)

// Headers of a job's message, and of what is made of it on its way.
const (
	HeaderFilename = "Backburn-Filename" // required on raw jobs
	HeaderMeta     = "Backburn-Meta-"    // prefix of a raw job's metadata
	HeaderJob      = "Backburn-Job"      // the job's id, where Nats-Msg-Id is another
	HeaderSubject  = "Backburn-Subject"  // the subject under which the job was handed in
	HeaderReason   = "Backburn-Reason"   // dead letters: why
	HeaderError    = "Backburn-Error"    // dead letters: what was said
	HeaderAttempts = "Backburn-Attempts" // dead letters: tries at the upload

	headerBasis = "Backburn-Basis" // waiting jobs: upload, shared or lookup
)

// ErrFull is returned by publishers when a stream has no room: nothing was accepted, and
// the same message may be tried later.
var ErrFull = errors.New("the queue is full")

// publishAttempt bounds one try at a durable write; the message, which carries its id,
// is sent again until it is acknowledged.
const publishAttempt = 5 * time.Second

// The server's codes for a stream at its limits, and for an ingest queue that overflows.
const (
	errCodeStreamFull   jetstream.ErrorCode = 10077
	errCodeTooManyAsync jetstream.ErrorCode = 10167
)

// publish sends a message until it is acknowledged or ctx ends. The message must be
// harmless to repeat. A full stream is ErrFull, at once.
func (q *Queue) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	for attempt := 0; ; attempt++ {
		actx, cancel := context.WithTimeout(ctx, publishAttempt)
		ack, err := q.js.PublishMsg(actx, m, opts...)
		cancel()
		if err == nil {
			return ack, nil
		}
		if err := permanent(err); err != nil {
			return nil, fmt.Errorf("publish to %s: %w", m.Subject, err)
		}
		if serr := sleep(ctx, backOff(attempt, 50*time.Millisecond, 2*time.Second)); serr != nil {
			return nil, fmt.Errorf("publish to %s: %w (%w)", m.Subject, serr, err)
		}
	}
}

// permanent returns the error that another try won't cure, or nil.
func permanent(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && (api.ErrorCode == errCodeStreamFull || api.ErrorCode == errCodeTooManyAsync):
		return fmt.Errorf("%w: %s", ErrFull, api.Description)
	case errors.As(err, &api) && api.Code != 503:
		return err
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubject):
		return err
	}
	return nil
}

// backOff grows from low, doubling, to high, with full jitter above half.
func backOff(attempt int, low, high time.Duration) time.Duration {
	d := high
	if attempt < 30 && low<<attempt < high {
		d = low << attempt
	}
	return d/2 + rand.N(d/2+1)
}

// Publisher hands in jobs. It needs the right to publish on its own job subjects alone,
// and is safe for concurrent use.
type Publisher struct{ q *Queue }

// Publisher returns the queue's intake.
func (q *Queue) Publisher() *Publisher { return &Publisher{q: q} }

// Publish hands in a job by reference and returns once it is durable. A repeat with the
// same id is harmless. It returns ErrFull when the queue has no room.
func (p *Publisher) Publish(ctx context.Context, j Job) error {
	if j.ID == "" || !ValidSource(j.Source) || !j.Priority.Valid() {
		return fmt.Errorf("publish job: id %q, source %q and priority %q are required", j.ID, j.Source, j.Priority)
	}
	body, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("publish job %s: %w", j.ID, err)
	}
	m := nats.NewMsg(p.q.JobSubject(j.Priority, j.Source))
	m.Header.Set("Content-Type", "application/json")
	m.Header.Set(nats.MsgIdHdr, j.ID)
	m.Data = body
	_, err = p.q.publish(ctx, m)
	return err
}

// ResultPublisher publishes events. Publish returns nil once the event is durable; a
// repeat of the same event is harmless.
type ResultPublisher interface {
	Publish(ctx context.Context, e results.Event) error
}

// publishEvent publishes on the RESULTS stream, under the event's own id.
func (q *Queue) publishEvent(ctx context.Context, e results.Event) error {
	body, err := e.MarshalJSON()
	if err != nil {
		return err
	}
	m := nats.NewMsg(e.Subject(q.prefix))
	m.Header.Set("Content-Type", results.ContentType)
	m.Header.Set(nats.MsgIdHdr, e.ID())
	m.Data = body
	_, err = q.publish(ctx, m)
	return err
}
