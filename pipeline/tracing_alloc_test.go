package pipeline

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"backburn/results"
)

// Without a provider the way of a job allocates nothing for spans. It is not parallel: allocations
// are counted for the whole process.
//
//nolint:paralleltest // see above
func TestNoTracingCostsNothing(t *testing.T) {
	tr, ctx := newTracing(nil), untraced(context.Background())
	d := &delivery{envelope: envelope{Job: Job{ID: "a", SHA256: "00"}, header: nats.Header{"traceparent": {"00-11111111111111111111111111111111-1111111111111111-01"}}}}
	h, failure := nats.Header{}, errors.New("no")
	n := testing.AllocsPerRun(100, func() {
		jctx, work, span := tr.job(ctx, ctx, d)
		inject(jctx, h)
		actx, asked := tr.ask(jctx)
		inject(actx, h)
		endAsk(asked, answer{}, nil)
		uctx, sent := tr.upload(work, 1, 1)
		inject(uctx, h)
		endUpload(sent, Disposition{})
		endJob(span, d, over, failure)
		vctx, ended := tr.verdict(ctx, &d.envelope)
		inject(vctx, h)
		endVerdict(ended, results.Event{}, nil)
	})
	if n != 0 || len(h) != 0 {
		t.Errorf("%v allocations, and the header %v", n, h)
	}
}

// What a gateway sent under another case is replaced, not joined.
func TestCarrierKnowsEveryCase(t *testing.T) {
	t.Parallel()
	h := nats.Header{"TraceParent": {"old"}, "Other": {"x"}}
	c := carrier(h)
	if got := c.Get("traceparent"); got != "old" {
		t.Errorf("got %q", got)
	}
	c.Set("traceparent", "new")
	if got := c.Get("traceparent"); got != "new" || len(c.Keys()) != 2 || h.Get("Other") != "x" {
		t.Errorf("got %q, and %v", got, h)
	}
}
