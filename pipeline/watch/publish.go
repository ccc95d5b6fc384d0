package watch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"backburn/pipeline"
)

// Bounds of the time between two tries to publish a job: doubling, full jitter.
const (
	publishMin = 100 * time.Millisecond
	publishMax = 5 * time.Second
)

// publish hands a job over, however often that has to be tried. The only error is ctx's.
func (s *session) publish(ctx context.Context, job pipeline.Job) error {
	for try := 0; ; try++ {
		err := s.w.intake.Publish(ctx, job)
		if err == nil {
			s.w.m.published.Inc()
			s.part("intake", "")
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.w.m.retries.Inc()
		if errors.Is(err, pipeline.ErrFull) {
			s.part("intake", "the queue is full; files wait in the folder until it has room")
		} else {
			s.part("intake", "jobs can't be published, files wait in the folder: "+err.Error())
		}
		limit := min(publishMin<<min(try, 16), publishMax)
		if err := sleep(ctx, publishMin/2+rand.N(limit)); err != nil {
			return err
		}
	}
}
