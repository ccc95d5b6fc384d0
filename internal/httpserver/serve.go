package httpserver

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"github.com/rs/zerolog"

	"backburn/internal/loopback"
)

// New opens the listener. Run serves it; a caller that does not call Run must call Close. It logs a
// warning if something is exposed to the network that should not be.
func New(cfg Config, opts Options, h http.Handler) (*Server, error) {
	settings, err := Inspect(cfg.WebConfigFile)
	if err != nil {
		return nil, fmt.Errorf("%s.web_config_file: %w", opts.Table, err)
	}
	l, err := net.Listen("tcp", cfg.Listen) //nolint:noctx // once, at the start
	if err != nil {
		return nil, fmt.Errorf("%s.listen: %w: %w; free the address, choose another, or set \"\" for none", opts.Table, ErrListen, err)
	}

	s := &Server{cfg: cfg, opts: opts}
	s.limiter = newLimiter(l, s.maxConnections(), cfg.MaxConnectionsPerClient)
	s.limiter.plain = !settings.TLS
	m, collectors := newMetrics(opts.Table, opts.Routes, func() float64 { return float64(s.limiter.open()) })
	if opts.Registry != nil {
		for _, c := range collectors {
			if err := opts.Registry.Register(c); err != nil {
				_ = l.Close()
				return nil, fmt.Errorf("%s: metrics: %w", opts.Table, err)
			}
		}
	}
	drops := opts.Log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	s.limiter.onDrop = func(why dropReason) {
		m.dropped.WithLabelValues(string(why)).Inc()
		drops.Warn().Str("reason", string(why)).Int("max_connections", s.limiter.total).
			Int("max_connections_per_client", s.limiter.perClient).Msg("connection limit reached")
	}

	ending, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.http = &http.Server{
		Handler:           s.recoverPanics(h),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ConnState:         s.limiter.setState,
		BaseContext:       func(net.Listener) context.Context { return context.WithValue(context.Background(), stopping{}, ending) },
		ErrorLog:          stdlog.New(serverLog{opts.Log, opts.Log.Sample(&zerolog.BurstSampler{Burst: 5, Period: time.Minute})}, "", 0),
	}
	// The toolkit wraps the handler with its authentication before it accepts the first connection.
	// The checks of names and the metrics must come before the authentication, so they are added at
	// that moment.
	s.limiter.onFirstAccept = func() { s.http.Handler = closeUnread(s.stripBasePath(m.countRequests(s.guard(s.http.Handler)))) }
	s.warn(settings)

	return s, nil
}

// Run serves until ctx ends. Endless responses then end (UntilStop), other requests get the grace
// period, and everything is closed. It returns nil if ctx ended. It must be called only once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	served := make(chan error, 1)
	go func() {
		log := s.opts.Log.Level(max(zerolog.WarnLevel, s.opts.Log.GetLevel()))
		served <- web.Serve(s.limiter, s.http, &web.FlagConfig{WebConfigFile: &s.cfg.WebConfigFile}, slog.New(zerolog.NewSlogHandler(log)))
	}()
	select {
	case err := <-served:
		s.Close()
		return fmt.Errorf("%s: %w", s.opts.Table, err)
	case <-ctx.Done():
	}

	s.stop()
	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := s.http.Shutdown(shutdownCtx)
	s.Close()
	<-served //nolint:errcheck // it only says that the server was closed
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", s.opts.Table, err)
	}

	return nil
}

// Close closes the listener and all connections immediately. It may be called more than once.
func (s *Server) Close() {
	s.stop()
	_ = s.http.Close()
	_ = s.limiter.Close() // http.Server knows the listener only once it is serving
}

// warn logs warnings about what is exposed to the network.
func (s *Server) warn(settings Web) {
	if loopback.Host(hostOf(s.Addr().String())) {
		return
	}
	log := s.opts.Log.With().Str("addr", s.Addr().String()).Logger()
	if !s.opts.Authenticates && !settings.Authenticates() {
		log.Warn().Msg("open to the network without authentication; set " + s.opts.Table + ".web_config_file, or listen on 127.0.0.1")
	}
	if s.opts.Profiles {
		log.Warn().Msg("profiles of the process are open to the network; set " + s.opts.Table + ".pprof to false, or listen on 127.0.0.1")
	}
}

// closeUnread closes the connection after a response to a request whose body was not read:
// otherwise http.Server would wait for the rest of the body. A handler that has read the whole body
// may remove the Connection header again.
func closeUnread(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 || r.ProtoMajor != 1 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		next.ServeHTTP(w, r)
		if w.Header().Get("Connection") == "close" {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now()) // the connection is closed anyway
		}
	})
}

// recoverPanics responds with status 500 if a handler panics. It does not log the panic value,
// which may contain anything.
func (s *Server) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				s.opts.Log.Error().Str("path", r.URL.Path).Bytes("stack", debug.Stack()).Msg("panic in a request handler")
				s.opts.refuse(w, http.StatusInternalServerError, "internal error")
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// serverLog receives messages that http.Server reports only to its log. Clients can cause any
// number of them.
type serverLog struct{ log, sampled zerolog.Logger }

func (l serverLog) Write(b []byte) (int, error) {
	text := strings.TrimSpace(string(b))
	if strings.Contains(text, "TLS handshake error") {
		l.log.Debug().Str("err", text).Msg("TLS handshake with a client failed")
		return len(b), nil
	}
	l.sampled.Warn().Str("err", text).Msg("HTTP server error")

	return len(b), nil
}
