package worker

import (
	"context"
	"errors"
	"fmt"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
)

// rule applies the policy to a job whose contents were examined.
func (w *Worker) rule(d *delivery) {
	var types []string
	if d.Job.Kind == pipeline.KindFile && w.config().NeedsTypes() {
		types = pipeline.TypesOf(d.head.bytes)
	}

	d.ruling = w.config().Rule(pipeline.FactsOf(d.Job, types), d.Job)
	if d.ruling.Priority != "" {
		d.Job.Priority = d.ruling.Priority
	}
}

// takeUpload spends one upload of the day's budget and of the budgets of the job's rules. It
// returns fleet.ErrSpent if one of them is used up.
func (w *Worker) takeUpload(ctx context.Context, d *delivery) error {
	if err := w.uploads.Take(ctx, d.Job.Source, d.Job.Priority); err != nil {
		return err
	}

	for i, s := range d.ruling.Shares {
		err := w.shares.Of(s.Key).Take(ctx, "", pipeline.Normal)
		if err == nil {
			continue
		}
		if errors.Is(err, fleet.ErrSpent) {
			d.Share = s.Key
			err = fmt.Errorf("%w, for %s", err, d.ruling.Rule)
		}
		w.uploads.Refund(ctx, d.Job.Source, d.Job.Priority)
		w.refundShares(ctx, d.ruling.Shares[:i])
		return err
	}

	return nil
}

// refundUpload returns what takeUpload spent.
func (w *Worker) refundUpload(ctx context.Context, d *delivery) {
	w.uploads.Refund(ctx, d.Job.Source, d.Job.Priority)
	w.refundShares(ctx, d.ruling.Shares)
}

func (w *Worker) refundShares(ctx context.Context, shares []pipeline.Share) {
	for _, s := range shares {
		w.shares.Of(s.Key).Refund(ctx, "", pipeline.Normal)
	}
}
