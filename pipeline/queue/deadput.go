package queue

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline/span"
	"backburn/results"
)

// putFailed puts a complete copy of a job into DEAD, with the reason, if the event says that the
// job failed. m is nil if the caller does not have the job; then putFailed does nothing.
func (d *DeadLetters) putFailed(ctx context.Context, m *Message, ev results.Event) error {
	if m == nil || ev.Type != results.Failed {
		return nil
	}
	reason := ev.Data.Error
	if reason == nil {
		return fmt.Errorf("dead-letter job %s: its event has no reason", m.Job.Ref())
	}

	return d.Put(ctx, m, *reason, ev.Data.Attempts, messageID(ev))
}

// Put copies a job to DEAD, with a reason. The job need not have a final event. A repeat must have
// the same id, so that the server drops it.
func (d *DeadLetters) Put(ctx context.Context, m *Message, reason results.Error, attempts int, id string) error {
	letter := nats.NewMsg(d.streams.DeadSubject(string(reason.Reason), m.Job.Source))
	if err := d.truncateInvalid(m).encode(letter); err != nil {
		return err
	}

	// What a list of letters shows is in headers, because a list reads no bodies.
	h := letter.Header
	set := func(key, value string) {
		if value != "" {
			h[key] = []string{oneLine(value)}
		}
	}
	set(HeaderFilename, m.Job.Filename)
	set(headerPriority, string(m.Job.Priority))
	set(HeaderReceived, m.Job.ReceivedAt.UTC().Format(time.RFC3339Nano))
	set(headerSize, strconv.FormatInt(max(m.Job.Size, 0), 10))
	set(headerSHA256, m.Job.SHA256)
	set(headerURL, m.Job.URL)

	h[HeaderReason] = []string{string(reason.Reason)}
	h[HeaderError] = []string{oneLine(reason.Message)}
	h[HeaderAttempts] = []string{strconv.Itoa(attempts)}
	h[nats.MsgIdHdr] = []string{"dead." + id}
	limits := d.streams.topology.Dead.orDefaults()
	if reason.Reason.Expected() && limits.ExpectedMaxAge < limits.MaxAge {
		h[headerTTL] = []string{limits.ExpectedMaxAge.Truncate(time.Second).String()}
	}
	span.Inject(ctx, h)

	if _, err := d.commits.publish(ctx, letter); err != nil {
		return fmt.Errorf("dead-letter job %s: %w", m.Job.Ref(), err)
	}
	if d.onPut != nil {
		d.onPut(reason.Reason)
	}

	d.recordWritten(ctx, letter.Size())

	return nil
}

// OnPut registers f, which is called each time this process has written a dead letter, repeats
// included. Call OnPut before the queue is used.
func (d *DeadLetters) OnPut(f func(results.Reason)) { d.onPut = f }

// maxInvalidContents limits what a dead letter keeps of an invalid message, in bytes.
const maxInvalidContents = 64 << 10

// truncateInvalid bounds what a letter keeps of an invalid message.
func (d *DeadLetters) truncateInvalid(m *Message) *Message {
	limit := max(0, min(maxInvalidContents, int(d.streams.js.Conn().MaxPayload())-recordHeadroom))
	if m.Original == nil || len(m.Contents) <= limit {
		return m
	}

	short := *m
	short.Contents = m.Contents[:limit]

	return &short
}

// messageID is the ID of an event on its stream. It includes the source, because two sources may
// use the same job ID.
func messageID(ev results.Event) string { return ev.Data.Source + "." + ev.ID() }
