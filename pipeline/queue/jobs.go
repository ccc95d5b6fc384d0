package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Jobs reads and writes the messages of JOBS. It is safe for concurrent use.
type Jobs struct {
	streams *Streams
	commits *committer
}

// open decodes a job's message from JOBS. seq and at are the message's sequence and time in the
// stream; if the publisher gave no ID, open makes one from these two. An error that matches
// pipeline.ErrInvalidJob says why the message is not a valid job. The returned Message then has
// what a dead letter needs, and its Job has only the facts that are certain.
func (j *Jobs) open(subject string, h nats.Header, body []byte, seq uint64, at time.Time) (Message, error) {
	if seq <= j.streams.oldJobsUntil.Load() {
		return openOld(j.streams.Names, subject, h, body, seq, at)
	}

	return openPublished(j.streams.Names, subject, h, body, seq, at)
}

// Decode decodes a message of JOBS that was delivered to a worker. The error says why it is not a
// valid job; see Message.Original.
func (j *Jobs) Decode(msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("read message metadata: %w", err)
	}

	m, err := j.open(msg.Subject(), msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp)
	m.Job.Repeated = m.Job.Repeated || meta.NumDelivered > 1

	return m, err
}

// Requeue puts a job back into the queue. If the ledger says that the job waits, its record stays
// as it is until a worker ends the job or lets it wait again.
func (j *Jobs) Requeue(ctx context.Context, m *Message) error {
	back := nats.NewMsg(j.streams.RequeueSubject(m.Job.Priority, m.Job.Source))
	if err := m.encode(back); err != nil {
		return err
	}

	return j.commits.publish(ctx, nil, back)
}

// search visits the jobs of a source in JOBS, or of all sources if it is "", until visit returns
// false. A work queue allows no second consumer, so search gets the messages one by one. all is
// false if there are more than limit.
func (j *Jobs) search(ctx context.Context, source string, limit int, visit func(*jetstream.RawStreamMsg, Message, error) bool) (all bool, err error) {
	filter := j.streams.prefix + ".*.*." + cmp.Or(source, "*") // submitted, or requeued
	for seq, n := uint64(1), 0; ; n++ {
		raw, err := j.streams.jobs.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(filter))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("%s: %w", j.streams.JobsStream(), err)
		case n == limit:
			return false, nil
		}

		m, err := j.open(raw.Subject, raw.Header, raw.Data, raw.Sequence, raw.Time)
		if !visit(raw, m, err) {
			return true, nil
		}
		seq = raw.Sequence + 1
	}
}
