package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Jobs reads and writes the messages of JOBS. It is safe for concurrent use.
type Jobs struct {
	streams *Streams
	commits *committer
}

// open decodes a message of JOBS. If the publisher gave no ID, open makes one from the message's
// sequence and time. An error that matches pipeline.ErrInvalidJob says why the message is not a
// valid job. The returned Message then has what a dead letter needs, and its Job has only the facts
// that are certain.
func (j *Jobs) open(raw *jetstream.RawStreamMsg) (Message, error) {
	if raw.Sequence <= j.streams.oldJobsUntil.Load() {
		return openOld(j.streams.Names, raw.Subject, raw)
	}

	return openPublished(j.streams.Names, raw)
}

// Decode decodes a message of JOBS that was delivered to a worker. The error says why it is not a
// valid job; see Message.Original.
func (j *Jobs) Decode(msg jetstream.Msg) (Message, error) {
	raw, meta, err := rawMessage(msg)
	if err != nil {
		return Message{}, err
	}

	m, err := j.open(raw)
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

	_, err := j.commits.publish(ctx, back)

	return err
}

// search iterates over the messages of a source in JOBS, or of all sources if source is "". It
// stops after an error. A work queue allows no second consumer, so search gets the messages one by
// one.
func (j *Jobs) search(ctx context.Context, source string) iter.Seq2[*jetstream.RawStreamMsg, error] {
	filter := j.streams.prefix + ".*.*." + cmp.Or(source, "*") // submitted, or requeued
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		for seq := uint64(1); ; seq++ {
			raw, err := j.streams.jobs.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(filter))
			if err != nil {
				if !errors.Is(err, jetstream.ErrMsgNotFound) {
					yield(nil, fmt.Errorf("%s: %w", j.streams.JobsStream(), err))
				}
				return
			}
			if !yield(raw, nil) {
				return
			}
			seq = raw.Sequence
		}
	}
}
