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
		attempt, cancel := context.WithTimeout(ctx, f.w.publishWait)
		err := f.w.intake.Publish(attempt, job)
		cancel()
		if err == nil {
			f.w.m.published.Inc()
			f.w.health.set("intake", "")
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}

		f.w.m.retries.Inc()
		if errors.Is(err, pipeline.ErrFull) {
			f.w.health.set("intake", "the queue is full; files wait in the folder until it has room")
		} else {
			f.w.health.set("intake", "jobs cannot be published; files wait in the folder: "+err.Error())
		}
		if err := pipeline.Sleep(ctx, backoff.Delay(try, minPublishDelay, maxPublishDelay)); err != nil {
			return err
		}
	}
}
