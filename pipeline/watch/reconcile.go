package watch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"backburn/pipeline"
)

// reconcileBatch is how many IDs one query to the queue contains.
const reconcileBatch = 500

// reconciler publishes claimed files again if the queue has lost their jobs: its store was lost,
// restored from an older backup, or purged. Nothing is lost, because a file stays claimed until its
// job has ended.
type reconciler struct {
	*folder
	claimers []claimer
}

func (r *reconciler) run(ctx context.Context) {
	for pipeline.Sleep(ctx, r.w.reconcileEvery) == nil {
		n, err := r.runOnce(ctx)
		if n > 0 {
			r.w.m.republished.Add(float64(n))
			r.w.log.Warn().Int("files", n).Msg("published some claimed files again, because the queue had lost their jobs")
		}
		switch {
		case err != nil:
			r.reportFault(ctx, "queue", err)
		case n > 0:
			r.w.health.set("queue", fmt.Sprintf("the queue lost the jobs of %d claimed files, which were published again; check whether its store was replaced or purged", n))
		default:
			r.w.health.set("queue", "")
		}
	}
}

// runOnce checks, once, all claimed files whose jobs were published at least reconcileAge ago.
func (r *reconciler) runOnce(ctx context.Context) (n int, err error) {
	for ids := range slices.Chunk(r.w.inFlight.publishedBefore(time.Now().Add(-r.w.reconcileAge)), reconcileBatch) {
		unknown, err := r.w.catalog.Unknown(ctx, r.cfg.Source, ids)
		if err != nil {
			return n, fmt.Errorf("ask the queue about claimed files: %w", err)
		}
		if len(unknown) == 0 {
			continue
		}
		for _, c := range r.claimers {
			m, err := c.republish(ctx, unknown)
			n += m
			if err != nil {
				return n, err
			}
		}
	}

	return n, nil
}
