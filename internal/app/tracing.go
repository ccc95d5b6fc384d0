package app

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"backburn/internal/config"
)

// Timeouts for sending spans: one request, all its retries, and the flush at a stop.
const (
	traceTimeout = 5 * time.Second
	traceRetry   = 15 * time.Second
	traceFlush   = 2 * time.Second
)

// traceWarning is the shortest interval between warnings about dropped spans.
const traceWarning = time.Minute

// maxAttribute is the longest job ID in a span, in bytes.
const maxAttribute = 256

// startTracing creates the span exporter. It does not connect, because work does not depend on the
// collector.
func (n *Node) startTracing(ctx context.Context) error {
	c := n.cfg.Tracing
	if c.Endpoint == "" {
		return nil
	}

	provider, stop, err := newTracing(ctx, c, n.roles.name(), n.log.With().Str("component", "tracing").Logger())
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}

	n.traces = provider
	n.undo = append(n.undo, stop)

	return nil
}

// newTracing returns a span provider, and a function that flushes and stops it.
func newTracing(ctx context.Context, c config.Tracing, role string, log zerolog.Logger) (trace.TracerProvider, func(), error) {
	endpoint, err := url.JoinPath(c.Endpoint, "v1", "traces") // OTLP specification, OTLP/HTTP request
	if err != nil {
		return nil, nil, err
	}

	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: time.Minute}
	out, err := otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(endpoint),
		otlptracehttp.WithHTTPClient(&http.Client{Transport: transport, Timeout: traceTimeout}),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: time.Second, MaxInterval: traceTimeout, MaxElapsedTime: traceRetry,
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
	quiet := &lossy{SpanExporter: out, log: log, stop: make(chan struct{})}
	p := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(quiet),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Sample))),
		sdktrace.WithResource(about),
		sdktrace.WithRawSpanLimits(limits))

	return p, func() {
		// After this time, pending requests are canceled so that Shutdown returns. Its own timeout
		// is a second safeguard.
		defer time.AfterFunc(traceFlush, func() { close(quiet.stop) }).Stop()
		sctx, cancel := context.WithTimeout(context.Background(), 2*traceFlush)
		defer cancel()
		if err := p.Shutdown(sctx); err != nil {
			log.Warn().Err(err).Msg("not every span was sent")
		}

		transport.CloseIdleConnections()
	}, nil
}

// lossy drops spans that the collector does not accept, with an occasional warning. The SDK calls
// it from one goroutine at a time.
type lossy struct {
	sdktrace.SpanExporter
	log    zerolog.Logger
	stop   chan struct{} // closed when the time to flush is up
	warned atomic.Int64  // when, in Unix nanoseconds
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
	err := l.SpanExporter.ExportSpans(ctx, spans)
	now := time.Now().UnixNano()
	if last := l.warned.Load(); err != nil && (last == 0 || now-last >= int64(traceWarning)) {
		l.warned.Store(now)
		l.log.Warn().Err(err).Int("spans", len(spans)).Msg("trace collector unreachable; dropping spans")
	}

	return nil
}
