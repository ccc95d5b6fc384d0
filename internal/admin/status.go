// Package admin serves what operators and their tools ask a process over HTTP:
//
//	/healthz      the process is alive: always 200
//	/readyz       every registered check is asked; 503 when one fails
//	/metrics      the given Prometheus registry
//	/api/status   the value of the given function, as JSON
//	/api/events   the given stream
//	/             the given page
//
// It answers GET and HEAD alone, changes nothing, and holds no credentials; there is no
// login, so it belongs on an address that only operators reach. On a loopback address it
// answers to names of this machine alone, so that no page in a browser can read it by
// way of a name that resolves to us. Profiles of the process (/debug/pprof/) are served
// only when asked for.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 60 * time.Second // a page of metrics to a slow reader
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
	checkTimeout      = 2 * time.Second
	statusTimeout     = 10 * time.Second
)

// Config is what a Server serves. The zero value serves /healthz, and a /readyz without
// checks, which is always ready.
type Config struct {
	Checks   []Check
	Registry prometheus.Gatherer                    // nil: no /metrics
	Status   func(ctx context.Context) (any, error) // nil: no /api/status; safe for concurrent use, and quick
	Events   http.Handler                           // /api/events: may write without end, until the request's context ends; nil: 404
	Page     http.Handler                           // serves every other path; nil: 404
	Pprof    bool                                   // serve /debug/pprof/
	Log      zerolog.Logger
}

// Server is a listener that is open already. Run serves it.
type Server struct {
	listener net.Listener
	http     *http.Server
	stop     context.CancelFunc // ends streams
}

// ErrListen is matched by the error of New where the address can't be had.
var ErrListen = errors.New("the address can't be had")

// New listens on addr (host:port; port 0 takes any free port, Addr tells which). It serves
// nothing before Run; whoever does not call Run calls Close.
func New(addr string, cfg Config) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("http.listen: %w: %w; free the address, choose another, or set \"\" for none", ErrListen, err)
	}
	streams, stop := context.WithCancel(context.Background())
	s := &Server{
		listener: listener,
		stop:     stop,
		http: &http.Server{
			Handler:           guard(addr, listener.Addr(), handler(streams, cfg)),
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
		},
	}
	s.http.RegisterOnShutdown(stop)
	return s, nil
}

// Addr is the address that it listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, then gives requests in hand the grace time, and closes. It
// returns nil when it was ctx that ended it. Call it once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		s.Close()
		return fmt.Errorf("http: %w", err)
	case <-ctx.Done():
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	if err := s.http.Shutdown(last); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		s.Close()
		<-served
		return fmt.Errorf("http: %w", err)
	}
	s.Close()
	<-served
	return nil
}

// Close closes the listener and every connection at once. It may be called more than once.
func (s *Server) Close() {
	s.stop()
	_ = s.http.Close()
	_ = s.listener.Close() // http.Server knows it only once it serves
}

// Handler is what a Server serves, for tests and for servers of others. It does not judge
// the names that it is asked by.
func Handler(cfg Config) http.Handler { return handler(context.Background(), cfg) }

// handler makes the handler; streams end with the context.
func handler(streams context.Context, cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": stateOK})
	})
	mux.Handle("GET /readyz", readiness(cfg.Checks))
	if cfg.Registry != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Registry, promhttp.HandlerOpts{}))
	}
	if cfg.Status != nil {
		mux.Handle("GET /api/status", current(cfg))
	}
	if cfg.Events != nil {
		mux.Handle("GET /api/events", streaming(streams, cfg.Events))
	}
	if cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	}
	if cfg.Page != nil {
		mux.Handle("GET /", cfg.Page)
	}
	return headers(mux)
}

// current answers /api/status.
func current(cfg Config) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
		defer cancel()
		value, err := cfg.Status(ctx)
		if err != nil {
			cfg.Log.Warn().Err(err).Msg("cannot tell the status")
			writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, value)
	}
}

// headers keeps answers out of caches and browsers from guessing or embedding. A page may
// set a Content-Security-Policy of its own.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// writeJSON encodes before it writes, so that a value that cannot be encoded is a 500 and
// not half an answer.
func writeJSON(w http.ResponseWriter, code int, value any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(value); err != nil {
		code = http.StatusInternalServerError
		b.Reset()
		b.WriteString("{\"error\": \"the answer cannot be encoded\"}\n")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = b.WriteTo(w) // the reader may have gone
}
