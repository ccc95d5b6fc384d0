package worker

import (
	"context"
	"errors"

	"backburn/pipeline"
	"backburn/pipeline/poller"
	"backburn/pipeline/span"
	"backburn/results"
	"backburn/wildfire"
)

// execute carries out a job's steps until the job is done, waits, is parked, or has to be
// redelivered. ctx ends when the worker stops fetching: a job that is then being read, or waits for
// an answer, a turn or a slot, is redelivered. work is the context of uploads that have begun, and
// of everything that ends a job.
//
// A step either concludes the delivery or leads to the next decision, because it taught something
// new about the sample or released a claim. If one of the records was changed meanwhile, both are
// read again.
func (w *Worker) execute(ctx, work context.Context, d *delivery) (result, error) {
	if r, err := w.prepare(ctx, work, d); r.concluded || err != nil {
		return r, err
	}

	var learned pipeline.News = pipeline.NoNews{}
	for {
		next := w.decide(d, learned)

		var r result
		var err error
		switch next.step.Kind {
		case pipeline.StepLookUpOwner:
			learned, err = w.lookUpOwner(ctx, d)
		case pipeline.StepAsk:
			learned, err = w.ask(ctx, d)
		case pipeline.StepAwaitTurn:
			learned, err = w.uploader.upload(ctx, work, d)
			if _, uploaded := learned.(pipeline.UploadEnded); uploaded {
				var cancel context.CancelFunc
				work, cancel = withFinalWriteTime(work)
				defer cancel()
			}
		case pipeline.StepReconsider:
			learned = pipeline.NoNews{}
			err = w.changeSample(ctx, d, next.sample)
		default:
			if r, err = w.conclude(work, d, next); !errors.Is(err, pipeline.ErrConflict) {
				return r, err
			}
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, pipeline.ErrConflict) {
			return result{}, err
		}

		if u, uploaded := learned.(pipeline.UploadEnded); uploaded {
			r, err = w.reload(work, d, u) // the upload's outcome still has to be written
		} else {
			learned = pipeline.NoNews{}
			r, err = w.load(ctx, work, d)
		}
		if r.concluded || err != nil {
			return r, err
		}
	}
}

// prepare does what comes before the first decision: it examines the contents, applies the policy
// to them, and reads the records.
func (w *Worker) prepare(ctx, work context.Context, d *delivery) (result, error) {
	if d.invalid != nil {
		return w.loadAndFail(ctx, work, d, results.Error{Reason: results.InvalidJob, Message: d.invalid.Error()})
	}
	if err := w.Queue.Objects().MoveContents(ctx, &d.Message); err != nil {
		return result{}, err
	}
	d.RuleBudget = ""
	if err := w.examiner.examine(ctx, work, d); err != nil {
		return w.afterExamineError(ctx, work, d, err)
	}
	w.examiner.failedReads.forget(d.Job.Ref())

	var types []string
	if d.Job.Kind == pipeline.KindFile && w.config().NeedsTypes() {
		types = pipeline.TypesOf(d.head.bytes)
	}
	d.ruling = w.config().RulingFor(pipeline.FactsOf(d.Job, types), d.Job)
	if d.ruling.Priority != "" {
		d.Job.Priority = d.ruling.Priority
	}

	d.sample.Key = pipeline.SampleKey(d.Job)
	if r, err := w.load(ctx, work, d); r.concluded || err != nil {
		return r, err
	}

	return result{}, w.recordReportWish(ctx, d)
}

// lookUpOwner checks whether the claim of a sample is still valid. Another worker's claim is valid
// until that worker is gone. This worker's own claim is valid while uploader.claims has the sample.
func (w *Worker) lookUpOwner(ctx context.Context, d *delivery) (pipeline.News, error) {
	owner := d.sample.Owner
	if owner == w.Member.ID() {
		return pipeline.OwnerLookedUp{Owner: owner, Gone: !w.uploader.claims.has(d.sample.Key)}, nil
	}

	gone, err := w.Member.Gone(ctx, owner)

	return pipeline.OwnerLookedUp{Owner: owner, Gone: gone}, err
}

// ask asks WildFire about the sample, in the fleet's next call.
func (w *Worker) ask(ctx context.Context, d *delivery) (pipeline.News, error) {
	actx, sp := w.Spans.Ask(ctx)
	answer, err := w.client.Ask(actx, poller.Question{
		Key:     d.sample.Key,
		URL:     d.Job.URL,
		Urgent:  d.Job.Priority == pipeline.Urgent,
		Sources: []string{d.Job.Source},
	})
	span.EndAsk(sp, answer.Verdict.String(), err != nil)

	if errors.Is(err, poller.ErrQueriesPaused) {
		return pipeline.Unanswered{}, nil
	}
	if err != nil {
		return nil, err
	}

	return pipeline.Answered{
		HasEntry: answer.Verdict != wildfire.Unknown,
		Verdict:  answer.Verdict,
		MD5:      answer.MD5,
	}, nil
}
