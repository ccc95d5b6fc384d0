// Package span makes the OpenTelemetry spans of a job's way, and carries their context in message
// headers (W3C Trace Context). Without a provider it makes none, and does not allocate.
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

// scope is the name under which the spans of this package are told apart.
const scope = "backburn/pipeline"

// The names of the spans.
const (
	spanPublish = "backburn.publish" // a job is submitted
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

// Spans makes spans. Its zero value makes none: contexts come back as they are, and spans are nil,
// which the functions that end them know. That path does not allocate.
type Spans struct{ tracer trace.Tracer }

// New returns what makes spans with a provider; nil makes none.
func New(p trace.TracerProvider) Spans {
	if p == nil {
		return Spans{}
	}

	return Spans{p.Tracer(scope)}
}

// Detached takes the span of whoever started a worker out of its context: jobs belong to the traces
// of their publishers.
func Detached(ctx context.Context) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.SpanContext{})
}

// carrier reads and writes the headers of W3C Trace Context, traceparent and tracestate. NATS keeps
// the case of names, so gateways may have sent them in another.
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

// Inject writes the span of ctx, if it has one, into a message's header.
func Inject(ctx context.Context, h nats.Header) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, carrier(h))
	}
}

// Context is what travels with a job so that its spans belong to one trace: the values of the
// headers traceparent and tracestate.
type Context struct {
	Parent string `json:"traceparent,omitempty"`
	State  string `json:"tracestate,omitempty"`
}

// Of reads the trace context of a message.
func Of(h nats.Header) Context {
	return Context{Parent: bounded(carrier(h).Get("traceparent")), State: bounded(carrier(h).Get("tracestate"))}
}

// bounded drops what is longer than W3C Trace Context lets a vendor demand (512 characters).
func bounded(s string) string {
	if len(s) > 512 {
		return ""
	}

	return s
}

// Current is the trace context of ctx's span; the zero Context where it has none.
func Current(ctx context.Context) Context {
	h := nats.Header{}
	Inject(ctx, h)

	return Of(h)
}

// header gives the trace context back as headers.
func (c Context) header() carrier {
	return carrier{"traceparent": {c.Parent}, "tracestate": {c.State}}
}

// start begins a span about a job, as the child of the one that its message named. A context that
// cannot be read begins a new trace.
func (s Spans) start(ctx context.Context, name string, j pipeline.Job, c Context) (context.Context, trace.Span) {
	ctx = propagation.TraceContext{}.Extract(ctx, c.header())

	return s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindConsumer), about(j))
}

// about are the attributes of a span that is a job's.
func about(j pipeline.Job) trace.SpanStartOption {
	return trace.WithAttributes(
		attrJob.String(strings.ToValidUTF8(j.ID, "\uFFFD")),
		attrSource.String(j.Source),
		attrLane.String(string(j.Priority)),
	)
}

// Publish begins the span of handing a job in, until it is acknowledged.
func (s Spans) Publish(ctx context.Context, j pipeline.Job) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}

	return s.tracer.Start(ctx, spanPublish, trace.WithSpanKind(trace.SpanKindProducer), about(j))
}

// Job begins the span of a delivery.
func (s Spans) Job(ctx context.Context, j pipeline.Job, c Context) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}

	return s.start(ctx, spanJob, j, c)
}

// EndJob ends the span of a delivery. outcome is that of the final event, "waiting" where the
// verdict is still to come, or "again" where the message comes again. sha256 is "" for what nobody
// has read.
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

// Ask begins the span of a question to WildFire, the wait for the fleet's next call included.
func (s Spans) Ask(ctx context.Context) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}

	return s.tracer.Start(ctx, spanAsk)
}

// EndAsk ends it with the answer.
func EndAsk(sp trace.Span, answer string, failed bool) {
	if sp == nil {
		return
	}

	if !failed {
		sp.SetAttributes(attrAnswer.String(answer))
	}
	End(sp, failed)
}

// Upload begins the span of one try, from its admission on; size is in bytes.
func (s Spans) Upload(ctx context.Context, size int64, attempt int) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}

	return s.tracer.Start(ctx, spanUpload, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attrSize.Int64(size), attrAttempts.Int(attempt)))
}

// EndUpload ends it with what followed.
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

// Verdict begins the span of the end of a job that waited.
func (s Spans) Verdict(ctx context.Context, j pipeline.Job, c Context) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}

	return s.start(ctx, spanVerdict, j, c)
}

// EndVerdict ends it with what was decided: a verdict, or the reason of a failure.
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

// End ends a span, nil included. What an error says may hold names, so the log has it and the span
// has not.
func End(sp trace.Span, failed bool) {
	if sp == nil {
		return
	}

	if failed {
		sp.SetStatus(codes.Error, "")
	}
	sp.End()
}
