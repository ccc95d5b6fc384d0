// Package tracing sends OpenTelemetry spans to a collector. A collector that fails or hangs costs
// spans, and nothing else.
package tracing

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"backburn/internal/health"
	"backburn/internal/proxy"
	"backburn/pipeline"
)

const (
	timeout     = 5 * time.Second  // of one request
	retryTime   = 15 * time.Second // for all attempts to send the same spans
	flushTime   = 2 * time.Second  // for the last spans at a stop
	faultExpiry = 5 * time.Minute  // how long a fault is reported after it last occurred, if there are no spans
)

// maxAttribute is the longest job ID in a span, in bytes.
const maxAttribute = 256

// Config configures the export of spans: the keys of [tracing].
type Config struct {
	Endpoint string  `toml:"endpoint" doc:"URL of an OTLP/HTTP collector, such as \"http://127.0.0.1:4318\". Empty: no traces."`
	Sample   float64 `toml:"sample" doc:"Share of traces to sample, 0 to 1. For a trace that a gateway began, the gateway decides."`
}

// DefaultConfig returns the defaults, under which no spans are sent.
func DefaultConfig() Config { return Config{Sample: 1} }

// Check calls bad for each key with an invalid value. It allows http to other machines, because
// spans contain no credentials and many collectors do not use TLS.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		want(err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "",
			"endpoint", `an address such as "http://127.0.0.1:4318", or "" for none`)
		want(err != nil || u.User == nil && u.RawQuery == "" && u.Fragment == "", "endpoint",
			"no user, password or query in the address; OTEL_EXPORTER_OTLP_HEADERS is for credentials")
	}
	want(c.Sample >= 0 && c.Sample <= 1, "sample", "a number from 0 to 1") // not NaN
}

// New returns a span provider, and a function that flushes and stops it. It reports to part whether
// the collector accepts spans. It does not connect, because work does not depend on the collector.
func New(ctx context.Context, cfg Config, role string, part *health.Part, log zerolog.Logger) (trace.TracerProvider, func(), error) {
	endpoint, err := url.JoinPath(cfg.Endpoint, "v1", "traces") // OTLP specification, OTLP/HTTP request
	if err != nil {
		return nil, nil, err
	}

	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: proxy.CheckConnect,
		MaxIdleConns:           1,
		IdleConnTimeout:        time.Minute,
	}
	out, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(endpoint),
		otlptracehttp.WithHTTPClient(&http.Client{Transport: transport, Timeout: timeout}),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: time.Second, MaxInterval: timeout, MaxElapsedTime: retryTime,
		}))
	if err != nil {
		return nil, nil, err
	}

	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "backburn"), attribute.String("backburn.role", role)),
		resource.WithFromEnv()) // OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
	if err != nil {
		return nil, nil, err
	}

	limits := sdktrace.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxAttribute
	quiet := &lossy{SpanExporter: out, part: part, stop: make(chan struct{})}
	p := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(quiet),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Sample))),
		sdktrace.WithResource(about),
		sdktrace.WithRawSpanLimits(limits))

	return p, func() {
		// After this time, pending requests are canceled so that Shutdown returns. Its own timeout
		// is a second safeguard.
		defer time.AfterFunc(flushTime, func() { close(quiet.stop) }).Stop()
		sctx, cancel := context.WithTimeout(context.Background(), 2*flushTime)
		defer cancel()
		if err := p.Shutdown(sctx); err != nil {
			log.Warn().Err(err).Msg("not every span was sent")
		}

		transport.CloseIdleConnections()
	}, nil
}

// lossy drops spans that the collector does not accept, and reports the fault. The SDK calls it
// from one goroutine at a time.
type lossy struct {
	sdktrace.SpanExporter
	part *health.Part
	stop chan struct{} // closed when the time to flush is up
}

// ExportSpans exports spans, and gives up when stop is closed.
func (l *lossy) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.stop:
			cancel()
		case <-ctx.Done():
		}
	}()

	if err := l.SpanExporter.ExportSpans(ctx, spans); err != nil {
		l.part.Fault(collectorFault(err))
	} else {
		l.part.OK()
	}

	return nil
}

// collectorFault returns why spans are dropped.
func collectorFault(err error) health.Fault {
	f, ok := health.Unreachable(err)
	if !ok {
		f = health.Fault{Cause: health.CauseStatus, Reason: err.Error()}
	}
	f.State = health.Degraded
	f.Reason = "the trace collector accepts no spans, so they are dropped: " + f.Reason
	f.Remedy = "check tracing.endpoint and the collector; jobs do not wait for it"
	f.Expires = faultExpiry

	return f
}
