package watch

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// reconcileBatch is how many ids the queue is asked about at once.
const reconcileBatch = 500

// reconciler publishes claimed files again that the queue knows nothing of: it lost its store,
// came back from an older backup, or somebody purged it. Until the file's job has ended the file
// is there, so nothing is lost by that.
type reconciler struct {
	*folder
	claimers []claimer
}

func (r *reconciler) run(ctx context.Context) {
	for sleep(ctx, r.w.reconcileEvery) == nil {
		n, err := r.round(ctx)
		if n > 0 {
			r.w.m.republished.Add(float64(n))
			r.w.log.Warn().Int("files", n).Msg("the queue had no jobs for some claimed files; published again")
		}
		switch {
		case err != nil:
			r.fault(ctx, "queue", err)
		case n > 0:
			r.part("queue", fmt.Sprintf("the queue lost %d claimed files, which were published again; see whether its store was replaced or purged", n))
		default:
			r.part("queue", "")
		}
	}
}

// round asks about all claimed files once.
func (r *reconciler) round(ctx context.Context) (n int, err error) {
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
