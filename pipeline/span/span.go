// Package span creates the OpenTelemetry spans of jobs, and carries their context in message
// headers (W3C Trace Context). Without a provider it creates none, and allocates nothing.
package span

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"backburn/pipeline"
	"backburn/results"
)

// scope is the instrumentation scope of the spans.
const scope = "backburn/pipeline"

// The names of the spans.
const (
	spanPublish = "backburn.publish" // a job is submitted
	spanJob     = "backburn.job"     // one delivery of a job
	spanAsk     = "backburn.ask"     // a worker's question to WildFire about a sample
	spanUpload  = "backburn.upload"  // one upload, successful or not
	spanVerdict = "backburn.verdict" // the end of a job that waited for a verdict
)

// Attributes of the spans. They never contain contents, file names, paths, links or error texts,
// because spans are sent to other systems.
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

// Spans creates spans. The zero value creates none and allocates nothing: its methods return the
// context unchanged and a nil span, which the End functions accept.
type Spans struct{ tracer trace.Tracer }

// New returns a Spans for a provider; with nil it creates no spans.
func New(p trace.TracerProvider) Spans {
	if p == nil {
		return Spans{}
	}

	return Spans{p.Tracer(scope)}
}

// Detached returns a worker's context without its span: jobs belong to the traces of their
// publishers, not to the trace of the worker's caller.
func Detached(ctx context.Context) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.SpanContext{})
}

// carrier reads and writes the headers of W3C Trace Context, traceparent and tracestate. It ignores
// the case of their names, because gateways may use any, and NATS does not change it.
type carrier nats.Header

func (c carrier) Get(key string) string {
	for k, v := range c {
		if strings.EqualFold(k, key) && len(v) > 0 {
			return v[0]
		}
	}

	return ""
}

func (c carrier) Set(key, value string) {
	for k := range c {
		if strings.EqualFold(k, key) {
			delete(c, k)
		}
	}
	c[key] = []string{value}
}

func (c carrier) Keys() []string { return slices.Collect(maps.Keys(c)) }

// Inject writes the span of ctx, if any, into a message's header.
func Inject(ctx context.Context, h nats.Header) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, carrier(h))
	}
}

// Context is a job's trace context, which puts its spans into one trace. It has the values of the
// headers traceparent and tracestate.
type Context struct {
	Parent string `json:"traceparent,omitempty"`
	State  string `json:"tracestate,omitempty"`
}

// Extract reads the trace context of a message.
func Extract(h nats.Header) Context {
	return Context{Parent: bounded(carrier(h).Get("traceparent")), State: bounded(carrier(h).Get("tracestate"))}
}

// bounded drops values longer than 512 characters. Up to that length, W3C Trace Context asks
// vendors to pass a tracestate on.
func bounded(s string) string {
	if len(s) > 512 {
		return ""
	}

	return s
}

// Current returns the trace context of ctx's span; the zero Context if it has none.
func Current(ctx context.Context) Context {
	h := nats.Header{}
	Inject(ctx, h)

	return Extract(h)
}

// header returns the trace context in the form of headers.
func (c Context) header() carrier {
	return carrier{"traceparent": {c.Parent}, "tracestate": {c.State}}
}

// start starts a span about a job, as a child of the span in the job's trace context. If that
// context is empty or invalid, a new trace starts.
func (s Spans) start(ctx context.Context, name string, j pipeline.Job, c Context) (context.Context, trace.Span) {
	ctx = propagation.TraceContext{}.Extract(ctx, c.header())

	return s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindConsumer), about(j))
}

// about returns the attributes that say which job a span is about.
func about(j pipeline.Job) trace.SpanStartOption {
	return trace.WithAttributes(
		attrJob.String(strings.ToValidUTF8(j.ID, "\uFFFD")),
		attrSource.String(j.Source),
		attrLane.String(string(j.Priority)),
	)
}

// Publish starts the span of a submission. The caller ends it after the acknowledgment.
func (s Spans) Publish(ctx context.Context, j pipeline.Job) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}

	return s.tracer.Start(ctx, spanPublish, trace.WithSpanKind(trace.SpanKindProducer), about(j))
}

// Job starts the span of a delivery.
func (s Spans) Job(ctx context.Context, j pipeline.Job, c Context) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}

	return s.start(ctx, spanJob, j, c)
}

// EndJob ends the span of a delivery. outcome is that of the final event, "waiting" if the verdict
// is still missing, or "again" if the message will be redelivered. sha256 is "" if the hash of the
// contents is unknown or unverified.
func EndJob(sp trace.Span, outcome, sha256 string, failed bool) {
	if sp == nil {
		return
	}

	sp.SetAttributes(attrOutcome.String(outcome))
	if sha256 != "" {
		sp.SetAttributes(attrSHA256.String(sha256))
	}
	End(sp, failed)
}

// Ask starts the span of a worker's question to WildFire. It includes the wait until the poller
// makes the call.
func (s Spans) Ask(ctx context.Context) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}

	return s.tracer.Start(ctx, spanAsk)
}

// EndAsk ends the span of a question with its answer.
func EndAsk(sp trace.Span, answer string, failed bool) {
	if sp == nil {
		return
	}

	if !failed {
		sp.SetAttributes(attrAnswer.String(answer))
	}
	End(sp, failed)
}

// Upload starts the span of one upload. It does not include the wait for a turn and a slot. size is
// in bytes; attempt is 1 unless earlier uploads of the sample failed.
func (s Spans) Upload(ctx context.Context, size int64, attempt int) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}

	return s.tracer.Start(ctx, spanUpload, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attrSize.Int64(size), attrAttempts.Int(attempt)))
}

// EndUpload ends the span of an upload with its disposition.
func EndUpload(sp trace.Span, d pipeline.Disposition) {
	if sp == nil {
		return
	}

	sp.SetAttributes(attrOutcome.String(d.Action.Label()))
	if status := d.HTTPStatus(); status != 0 {
		sp.SetAttributes(attrStatus.Int(status))
	}
	End(sp, d.Action != pipeline.Complete)
}

// Verdict starts the span of the end of a job that waited.
func (s Spans) Verdict(ctx context.Context, j pipeline.Job, c Context) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}

	return s.start(ctx, spanVerdict, j, c)
}

// EndVerdict ends the span of Verdict. ev is the job's final event.
func EndVerdict(sp trace.Span, ev results.Event, failed bool) {
	if sp == nil {
		return
	}

	sp.SetAttributes(attrOutcome.String(ev.Outcome()))
	if ev.Data.Verdict != "" {
		sp.SetAttributes(attrVerdict.String(ev.Data.Verdict), attrBasis.String(string(ev.Data.Basis)))
	}
	if ev.Data.SHA256 != "" {
		sp.SetAttributes(attrSHA256.String(ev.Data.SHA256))
	}
	End(sp, failed)
}

// End ends a span, which may be nil. Error texts may contain names, so they are logged and not
// added to the span.
func End(sp trace.Span, failed bool) {
	if sp == nil {
		return
	}

	if failed {
		sp.SetStatus(codes.Error, "")
	}
	sp.End()
}
