package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire/wildfiretest"
)

// spans collects the spans of every process of a test.
type spans struct {
	t   *testing.T
	out *tracetest.InMemoryExporter
}

func newSpans(t *testing.T) spans { return spans{t, tracetest.NewInMemoryExporter()} }

// process returns the trace provider of one process.
func (s spans) process(name string) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.out), sdktrace.WithResource(resource.NewSchemaless(attribute.String("process", name))))
}

// named returns the spans with a name, in the order of their ends.
func (s spans) named(name string) tracetest.SpanStubs {
	var found tracetest.SpanStubs
	for _, sp := range s.out.GetSpans() {
		if sp.Name == name {
			found = append(found, sp)
		}
	}
	return found
}

func (s spans) single(name string) tracetest.SpanStub {
	s.t.Helper()
	found := s.named(name)
	if len(found) != 1 {
		s.t.Fatalf("%d spans %s", len(found), name)
	}
	return found[0]
}

// checkParent checks the parent and the trace of a span.
func (s spans) checkParent(sp tracetest.SpanStub, parent trace.SpanContext) {
	s.t.Helper()
	if sp.SpanContext.TraceID() != parent.TraceID() || sp.Parent.SpanID() != parent.SpanID() {
		s.t.Errorf("%s is a child of %s in trace %s, want %s in %s", sp.Name, sp.Parent.SpanID(), sp.SpanContext.TraceID(), parent.SpanID(), parent.TraceID())
	}
}

// attributeText returns the text of an attribute, or "".
func attributeText(sp tracetest.SpanStub, key string) string {
	for _, a := range append(sp.Attributes, sp.Resource.Attributes()...) {
		if string(a.Key) == key {
			return fmt.Sprint(a.Value.AsInterface())
		}
	}
	return ""
}

// headers reads the headers of the first want messages of a stream.
func (f *fixture) headers(stream string, want int) []nats.Header {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	c, err := f.q.JetStream().OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		f.t.Fatal(err)
	}
	var all []nats.Header
	for len(all) < want {
		m, err := c.Next(jetstream.FetchContext(ctx))
		if err != nil {
			f.t.Fatalf("%d of %d messages: %v", len(all), want, err)
		}
		all = append(all, m.Headers())
	}
	return all
}

// spanContext reads the traceparent of a header.
func spanContext(h nats.Header) trace.SpanContext {
	one := propagation.MapCarrier{"traceparent": h.Get("traceparent"), "tracestate": h.Get("tracestate")}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), one))
}

// A publisher with tracing starts the trace that a worker continues, or continues its caller's
// trace.
func TestPublisherTraces(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := newSpans(t)
	gateway := s.process("api")
	in := f.q.Publisher().Traced(gateway)
	ctx, caller := gateway.Tracer("test").Start(t.Context(), "request")
	publish := func(ctx context.Context, id, body string) {
		t.Helper()
		j := pipeline.Job{ID: id, Source: "mail", Priority: pipeline.Urgent, Filename: "secret.doc"}
		_, err := in.Submit(ctx, j, queue.FromReader(strings.NewReader(body), int64(len(body))))
		if err != nil {
			t.Fatal(err)
		}
	}
	publish(ctx, "small", "a")
	publish(t.Context(), "large", strings.Repeat("x", 2_000_000))
	if _, err := in.Submit(t.Context(), pipeline.Job{ID: "link", Source: "mail", Priority: pipeline.Normal, URL: "https://example.com/"}, queue.Input{}); err != nil {
		t.Fatal(err)
	}
	published := s.named("backburn.publish")
	if len(published) != 3 {
		t.Fatalf("%d spans backburn.publish, want 3", len(published))
	}
	s.checkParent(published[0], caller.SpanContext())
	for i, h := range f.headersOfJobs(3) {
		sp := published[i]
		if carried := spanContext(h); carried.SpanID() != sp.SpanContext.SpanID() || carried.TraceID() != sp.SpanContext.TraceID() {
			t.Errorf("job %s carries %s", h.Get(nats.MsgIdHdr), h.Get("traceparent"))
		}
		if attributeText(sp, "backburn.job.id") != h.Get(nats.MsgIdHdr) || attributeText(sp, "backburn.source") != "mail" || attributeText(sp, "backburn.lane") == "" {
			t.Errorf("attributes %v", sp.Attributes)
		}
	}
}

// headersOfJobs reads the headers of the first n messages of JOBS, a work queue that allows no
// second consumer.
func (f *fixture) headersOfJobs(n uint64) []nats.Header {
	f.t.Helper()
	jobs, err := f.q.JetStream().Stream(f.t.Context(), f.q.JobsStream())
	if err != nil {
		f.t.Fatal(err)
	}
	var all []nats.Header
	for seq := range n {
		m, err := jobs.GetMsg(f.t.Context(), seq+1)
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, m.Header)
	}
	return all
}

// From the gateway's publish to the verdict there is one trace, although one worker uploads, the
// job waits, and another worker ends it.
func TestOneTraceFromPublishToVerdict(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64 // of WildFire's clock
	f := newFixture(t, wildfiretest.WithDelay(time.Hour), wildfiretest.WithNow(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }))
	s := newSpans(t)
	const body, filename = "wildfire-test:phishing", "payroll-of-jane.html"
	ctx, gateway := s.process("gateway").Tracer("gateway").Start(t.Context(), "gateway")
	err := submitFile(ctx, f.q, pipeline.Job{ID: "a", Source: "mail", Priority: pipeline.Urgent, Filename: filename},
		int64(len(body)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil })
	if err != nil {
		t.Fatal(err)
	}
	gateway.End()

	stop := f.startWorker(worker.WithTracing(s.process("first")))
	f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) == 1 })
	stop()
	if len(s.named("backburn.verdict")) != 0 {
		t.Fatal("it ended before WildFire had a verdict")
	}
	ahead.Store(int64(2 * time.Hour))
	stop = f.startWorker(worker.WithTracing(s.process("second")))
	ev := f.waitEvents(1).onlyOf(t, "a")
	stop()

	job := s.single("backburn.job")
	ask := s.single("backburn.ask")
	upload := s.single("backburn.upload")
	verdict := s.single("backburn.verdict")
	s.checkParent(job, gateway.SpanContext())
	s.checkParent(ask, job.SpanContext)
	s.checkParent(upload, job.SpanContext)
	s.checkParent(verdict, job.SpanContext)
	for _, want := range []struct {
		span       tracetest.SpanStub
		key, value string
	}{
		{job, "process", "first"},
		{job, "backburn.job.id", "a"},
		{job, "backburn.source", "mail"},
		{job, "backburn.lane", "urgent"},
		{job, "backburn.sha256", ev.Data.SHA256},
		{job, "backburn.outcome", "waiting"},
		{ask, "backburn.answer", "unknown"},
		{upload, "backburn.size", fmt.Sprint(len(body))},
		{upload, "backburn.attempts", "1"},
		{upload, "http.response.status_code", "200"},
		{upload, "backburn.outcome", "taken"},
		{verdict, "process", "second"},
		{verdict, "backburn.job.id", "a"},
		{verdict, "backburn.verdict", "phishing"},
		{verdict, "backburn.basis", "upload"},
		{verdict, "backburn.sha256", ev.Data.SHA256},
	} {
		if got := attributeText(want.span, want.key); got != want.value {
			t.Errorf("%s: %s is %q, want %q", want.span.Name, want.key, got, want.value)
		}
	}
	told := f.headers(f.q.ResultsStream(), 2)
	for i, want := range []trace.SpanContext{job.SpanContext, verdict.SpanContext} {
		if got := spanContext(told[i]); got.TraceID() != want.TraceID() || got.SpanID() != want.SpanID() {
			t.Errorf("event %d has the traceparent %q, want %s of %s", i, told[i].Get("traceparent"), want.SpanID(), want.TraceID())
		}
	}
	if all := fmt.Sprint(s.out.GetSpans()); strings.Contains(all, "payroll") || strings.Contains(all, body) {
		t.Errorf("spans contain the file's name or contents: %s", all)
	}
}

// A gateway in any language continues its trace with a header whose name may be in any case, also
// for jobs that fail. Without the header a new trace starts here.
func TestTraceOfRawJobs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := newSpans(t)
	const id = "0af7651916cd43dd8448eb211c80319c"
	parent := "00-" + id + "-b7ad6b7169203331-01"
	f.publish("backburn.jobs.normal.mail", nats.Header{nats.MsgIdHdr: {"bad"}, "Traceparent": {parent}, "Tracestate": {"vendor=1"}}, "no name")
	f.publish("backburn.jobs.normal.mail", nats.Header{nats.MsgIdHdr: {"odd"}, "traceparent": {"00-nonsense"}, queue.HeaderFilename: {"a.exe"}}, "MZ odd")
	stop := f.startWorker(worker.WithTracing(s.process("worker")))
	f.waitEvents(2)
	stop()

	for _, sp := range s.named("backburn.job") {
		switch attributeText(sp, "backburn.job.id") {
		case "bad":
			if sp.SpanContext.TraceID().String() != id || sp.SpanContext.TraceState().Get("vendor") != "1" || attributeText(sp, "backburn.outcome") != "invalid_job" {
				t.Errorf("the invalid job: %+v", sp)
			}
			dead := f.headers(f.q.DeadStream(), 1)[0]
			if got := spanContext(dead); got.SpanID() != sp.SpanContext.SpanID() || len(dead["Traceparent"]) != 0 {
				t.Errorf("the dead letter has %v", dead)
			}
		case "odd":
			if sp.Parent.IsValid() || sp.SpanContext.TraceID().String() == id {
				t.Errorf("an invalid traceparent became a parent: %+v", sp)
			}
			s.checkParent(s.single("backburn.verdict"), sp.SpanContext)
		}
	}
	if n := len(s.named("backburn.job")); n != 2 {
		t.Errorf("%d spans of jobs", n)
	}
}

// Without a provider there are neither spans nor headers, even if the caller that starts the worker
// has a span.
func TestWithoutTracing(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]worker.Option{"by default": nil, "nil": {worker.WithTracing(nil)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.submitRaw("a", "mail", "a.exe", "MZ bad")
			s := newSpans(t)
			ctx, span := s.process("starter").Tracer("starter").Start(t.Context(), "starter")
			w, err := worker.New(f.q, f.cfg, f.client, f.client, opts...)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(ctx)
			done := make(chan error, 1)
			go func() { done <- w.Run(ctx) }()
			f.waitEvents(1)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			span.End()
			for _, h := range f.headers(f.q.ResultsStream(), 2) {
				if h.Get("traceparent") != "" {
					t.Errorf("an event has %v", h)
				}
			}
			if n := len(s.out.GetSpans()); n != 1 {
				t.Errorf("%d spans, want only that of the caller", n)
			}
		})
	}
}
