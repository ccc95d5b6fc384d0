package pipeline

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"backburn/results"
)

// scope is the name under which the spans of this package are told apart.
const scope = "backburn/pipeline"

// The names of the spans.
const (
	spanPublish = "backburn.publish" // a job is handed in
	spanJob     = "backburn.job"     // one delivery of a job
	spanAsk     = "backburn.ask"     // what WildFire knows about its contents
	spanUpload  = "backburn.upload"  // one try
	spanVerdict = "backburn.verdict" // the end of a job that waited
)

// Their attributes. Contents, file names, paths, links and what errors say are none of them:
// spans leave for systems that have no business with those.
const (
	attrJob      = attribute.Key("backburn.job.id")
	attrSource   = attribute.Key("backburn.source")
	attrLane     = attribute.Key("backburn.lane")
	attrSHA256   = attribute.Key("backburn.sha256")
	attrOutcome  = attribute.Key("backburn.outcome")
	attrAnswer   = attribute.Key("backburn.answer")
	attrSize     = attribute.Key("backburn.size") // bytes
	attrAttempts = attribute.Key("backburn.attempts")
	attrVerdict  = attribute.Key("backburn.verdict")
	attrBasis    = attribute.Key("backburn.basis")
	attrStatus   = attribute.Key("http.response.status_code") // OpenTelemetry semantic conventions, HTTP spans
)

// tracing makes spans. Its zero value makes none: contexts come back as they are, and spans
// are nil, which the functions that end them know. That path does not allocate.
type tracing struct{ tracer trace.Tracer }

func newTracing(p trace.TracerProvider) tracing {
	if p == nil {
		return tracing{}
	}
	return tracing{p.Tracer(scope)}
}

// untraced takes the span of whoever started a worker out of its context: jobs belong to the
// traces of their publishers.
func untraced(ctx context.Context) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.SpanContext{})
}

// carrier reads and writes the headers of W3C Trace Context, traceparent and tracestate. NATS keeps
// the case of names, so gateways may have sent them in another.
type carrier nats.Header

func (c carrier) Get(key string) string { return headerFold(nats.Header(c), key) }

func (c carrier) Set(key, value string) {
	for k := range c {
		if strings.EqualFold(k, key) {
			delete(c, k)
		}
	}
	c[key] = []string{value}
}

func (c carrier) Keys() []string { return slices.Collect(maps.Keys(c)) }

// inject writes the span of ctx, if it has one, into a message's header.
func inject(ctx context.Context, h nats.Header) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, carrier(h))
	}
}

// start begins a span about a job, as the child of the one that its message names. A header
// that can't be read begins a new trace.
func (t tracing) start(ctx context.Context, name string, e *envelope) (context.Context, trace.Span) {
	ctx = propagation.TraceContext{}.Extract(ctx, carrier(e.header))
	return t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindConsumer), about(e.Job))
}

// about are the attributes of a span that is a job's.
func about(j Job) trace.SpanStartOption {
	return trace.WithAttributes(
		attrJob.String(strings.ToValidUTF8(j.ID, "\uFFFD")),
		attrSource.String(j.Source),
		attrLane.String(string(j.Priority)),
	)
}

// publish begins the span of handing a job in, until it is acknowledged.
func (t tracing) publish(ctx context.Context, j Job) (context.Context, trace.Span) {
	if t.tracer == nil {
		return ctx, nil
	}
	return t.tracer.Start(ctx, spanPublish, trace.WithSpanKind(trace.SpanKindProducer), about(j))
}

// job begins the span of a delivery, in both contexts of its way.
func (t tracing) job(ctx, work context.Context, d *delivery) (context.Context, context.Context, trace.Span) {
	if t.tracer == nil {
		return ctx, work, nil
	}
	ctx, span := t.start(ctx, spanJob, &d.envelope)
	return ctx, trace.ContextWithSpan(work, span), span
}

// endJob ends the span of a delivery. Its outcome is that of the final event, "waiting" where the
// verdict is still to come, or "again" where the message comes again.
func endJob(span trace.Span, d *delivery, f fate, err error) {
	if span == nil {
		return
	}
	outcome := "again"
	if err == nil && f.over {
		outcome = cmp.Or(d.outcome, "waiting")
	}
	span.SetAttributes(attrOutcome.String(outcome))
	if d.bad == nil && d.Job.SHA256 != "" { // of what is no job, nobody has looked at it
		span.SetAttributes(attrSHA256.String(d.Job.SHA256))
	}
	end(span, err != nil)
}

// ask begins the span of a question to WildFire, the wait for the fleet's next call included.
func (t tracing) ask(ctx context.Context) (context.Context, trace.Span) {
	if t.tracer == nil {
		return ctx, nil
	}
	return t.tracer.Start(ctx, spanAsk)
}

func endAsk(span trace.Span, ans answer, err error) {
	if span == nil {
		return
	}
	if err == nil {
		span.SetAttributes(attrAnswer.String(ans.Verdict.String()))
	}
	end(span, err != nil)
}

// upload begins the span of one try, from its admission on; size is in bytes.
func (t tracing) upload(ctx context.Context, size int64, attempt int) (context.Context, trace.Span) {
	if t.tracer == nil {
		return ctx, nil
	}
	return t.tracer.Start(ctx, spanUpload, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attrSize.Int64(size), attrAttempts.Int(attempt)))
}

func endUpload(span trace.Span, disp Disposition) {
	if span == nil {
		return
	}
	span.SetAttributes(attrOutcome.String(disp.Action.label()))
	if status := disp.httpStatus(); status != 0 {
		span.SetAttributes(attrStatus.Int(status))
	}
	end(span, disp.Action != Complete)
}

// verdict begins the span of the end of a job that waited.
func (t tracing) verdict(ctx context.Context, e *envelope) (context.Context, trace.Span) {
	if t.tracer == nil {
		return ctx, nil
	}
	return t.start(ctx, spanVerdict, e)
}

// endVerdict ends it with what was decided: a verdict, or the reason of a failure.
func endVerdict(span trace.Span, ev results.Event, err error) {
	if span == nil {
		return
	}
	span.SetAttributes(attrOutcome.String(ev.Outcome()))
	if ev.Data.Verdict != "" {
		span.SetAttributes(attrVerdict.String(ev.Data.Verdict), attrBasis.String(string(ev.Data.Basis)))
	}
	if ev.Data.SHA256 != "" {
		span.SetAttributes(attrSHA256.String(ev.Data.SHA256))
	}
	end(span, err != nil)
}

// end ends a span. What an error says may hold names, so the log has it and the span has not.
func end(span trace.Span, failed bool) {
	if failed {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
