package queue

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// open reads a job's message from JOBS. seq and at, its place in the stream, make the id of a job
// whose publisher gave none. The error, which matches pipeline.ErrInvalidJob, says why it is no
// job: then the message is fit for a dead letter and holds of the job what is certain.
func (q *Queue) open(subject string, h nats.Header, body []byte, seq uint64, at time.Time) (Message, error) {
	if seq <= q.oldJobsUntil.Load() {
		return q.openOld(subject, h, body, seq, at)
	}

	return q.openPublished(subject, h, body, seq, at)
}

// Receive makes sense of a message of JOBS. The error says why it is no job; see Message.Original.
func (q *Queue) Receive(msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("read message: %w", err)
	}

	return q.open(msg.Subject(), msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp)
}

// openOld reads a job that version 1 left: in its messages a header names the job, and the subject
// under which it was submitted.
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
