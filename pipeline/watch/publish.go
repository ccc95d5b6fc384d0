package watch

import (
	"context"
	"errors"
	"time"

	"backburn/internal/backoff"
	"backburn/pipeline"
)

// The first and the longest delay between attempts to publish a job.
const (
	minPublishDelay = 100 * time.Millisecond
	maxPublishDelay = 5 * time.Second
)

// publish publishes a job, retrying until it succeeds. It returns only ctx's error.
func (f *folder) publish(ctx context.Context, job pipeline.Job) error {
	for try := 0; ; try++ {
		err := f.publishOnce(ctx, job)
		if err == nil {
			f.w.m.published.Inc()
			f.setPart("intake", "")
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}

		f.w.m.retries.Inc()
		if errors.Is(err, pipeline.ErrFull) {
			f.setPart("intake", "the queue is full; files wait in the folder until it has room")
		} else {
			f.setPart("intake", "jobs cannot be published, files wait in the folder: "+err.Error())
		}
		if err := pipeline.Sleep(ctx, backoff.Delay(try, minPublishDelay, maxPublishDelay)); err != nil {
			return err
		}
	}
}

func (f *folder) publishOnce(ctx context.Context, job pipeline.Job) error {
	ctx, cancel := context.WithTimeout(ctx, f.w.publishWait)
	defer cancel()

	return f.w.intake.Publish(ctx, job)
}
