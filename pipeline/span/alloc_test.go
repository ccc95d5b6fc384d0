package span

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/results"
)

// Without a provider, spans cost no allocations. The test is not parallel, because allocations are
// counted for the whole process.
//
//nolint:paralleltest // see above
func TestNoTracingCostsNothing(t *testing.T) {
	spans := New(nil)
	ctx := Detached(context.Background())
	j := pipeline.Job{ID: "a", SHA256: "00"}
	c := Context{Parent: "00-11111111111111111111111111111111-1111111111111111-01"}
	h := nats.Header{}

	n := testing.AllocsPerRun(100, func() {
		jctx, sp := spans.Job(ctx, j, c)
		Inject(jctx, h)
		actx, asked := spans.Ask(jctx)
		Inject(actx, h)
		EndAsk(asked, "", false)
		uctx, sent := spans.Upload(jctx, 1, 1)
		Inject(uctx, h)
		EndUpload(sent, pipeline.Disposition{})
		EndJob(sp, "again", "", true)
		vctx, ended := spans.Verdict(ctx, j, c)
		Inject(vctx, h)
		EndVerdict(ended, results.Event{}, false)
	})
	if n != 0 || len(h) != 0 {
		t.Errorf("%v allocations, and the header %v", n, h)
	}
}

// A header that a gateway sent in another case is replaced, not duplicated.
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
