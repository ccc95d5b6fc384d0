package worker

import (
	"cmp"
	"context"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"backburn/pipeline"
	"backburn/pipeline/span"
)

// accept returns the delivery of a message. From now on, leases extends its lease, so that the
// message is not redelivered meanwhile. An urgent job becomes normal if its source may not have
// urgent jobs.
func (w *Worker) accept(msg jetstream.Msg) *delivery {
	d := &delivery{msg: msg}
	d.Message, d.invalid = w.Queue.Jobs().Decode(msg)
	if d.Job.Priority == pipeline.Urgent && !w.config().MayBeUrgent(d.Job.Source) {
		d.Job.Priority = pipeline.Normal
	}
	w.leases.take(d)

	return d
}

// process runs one delivery as far as it can now, then acks or naks its message. After an error the
// job is redelivered. The error is logged here and nowhere else, and not at all while the worker is
// stopping.
func (w *Worker) process(ctx, work context.Context, d *delivery) {
	ctx, sp := w.Spans.Job(ctx, d.Job, d.Trace)
	if sp != nil {
		work = trace.ContextWithSpan(work, sp)
		d.Trace = span.Current(ctx) // later steps of the job belong to this delivery's trace
	}

	r, err := w.execute(ctx, work, d)
	outcome := "again"
	if err == nil && r.ack {
		outcome = cmp.Or(d.outcome, "waiting")
	}
	sum := ""
	if d.Job.Verified {
		sum = d.Job.SHA256
	}
	span.EndJob(sp, outcome, sum, err != nil)

	log := w.Log.With().Str("job", d.Job.ID).Str("source", d.Job.Source).Logger()
	switch {
	case err != nil && ctx.Err() == nil:
		log.Warn().Err(err).Msg("cannot process job now; it will be redelivered")
		r = retryAfter(w.config().Backoff(0))
	case err != nil:
		r = retryAfter(w.config().Lease / 3)
	}

	if err := w.leases.release(d, r); err != nil {
		log.Debug().Err(err).Msg("cannot acknowledge a message; it will be redelivered")
	}
}
