package queue

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// open decodes a job's message from JOBS. If the publisher gave no ID, seq and at, its place in the
// stream, make one. An error that matches pipeline.ErrInvalidJob says why the message is not a
// valid job. The returned Message is then suitable for a dead letter, and its job has only the
// facts that are certain.
func (q *Queue) open(subject string, h nats.Header, body []byte, seq uint64, at time.Time) (Message, error) {
	if seq <= q.oldJobsUntil.Load() {
		return q.openOld(subject, h, body, seq, at)
	}

	return q.openPublished(subject, h, body, seq, at)
}

// Receive decodes a message of JOBS. The error says why it is not a valid job; see
// Message.Original.
func (q *Queue) Receive(msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("read message: %w", err)
	}

	m, err := q.open(msg.Subject(), msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp)
	m.Job.Repeated = m.Job.Repeated || meta.NumDelivered > 1

	return m, err
}

// openOld decodes a job of version 1, whose messages name the job and its original subject in
// headers.
func (q *Queue) openOld(subject string, h nats.Header, body []byte, seq uint64, at time.Time) (Message, error) {
	if id := h.Get(headerJob); id != "" {
		own := nats.Header{}
		for k, v := range h {
			own[k] = v
		}
		own[nats.MsgIdHdr] = []string{id}
		h = own
	}

	return q.openPublished(subject, h, body, seq, at)
}
