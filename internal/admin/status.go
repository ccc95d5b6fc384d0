// Package admin serves the state of a process over HTTP, for operators and their tools:
//
//	/healthz      the process is alive: always 200
//	/readyz       the state of every part, from the health registry; 503 if one has failed, or is
//	              needed and was not checked yet
//	/metrics      the given Prometheus registry
//	/api/status   the value of the given function, as JSON
//	/             the given page, and its API below /api/
//
// It answers GET and HEAD, and POST below /api/act/ for the page. It changes nothing itself and has
// no credentials. Unless basic authentication or client certificates are configured (package
// httpserver), use an address that only operators can reach. Profiles of the process
// (/debug/pprof/) are served only if Config.Pprof is set.
package admin

import (
	"context"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"backburn/internal/health"
	"backburn/internal/httpserver"
)

// statusTimeout limits one call of Deps.Status.
const statusTimeout = 10 * time.Second

// Config configures the listener: the keys of [http].
type Config struct {
	httpserver.Config `toml:",inline"`

	Pprof bool `toml:"pprof" doc:"Also serve /debug/pprof/. Do not use it on an address that others can reach."`
}

// DefaultConfig returns the defaults, which listen only on a loopback address.
func DefaultConfig() Config {
	c := Config{Config: httpserver.DefaultConfig()}
	c.Listen = "127.0.0.1:9464"

	return c
}

// Deps has what is served. The zero value serves only /healthz, and a /readyz without parts, which
// is always ready.
type Deps struct {
	Parts    func() []health.Status                 // states from the health registry; nil: none
	Registry *prometheus.Registry                   // nil: no /metrics
	Status   func(ctx context.Context) (any, error) // nil: no /api/status; must be fast and safe for concurrent use
	Page     http.Handler                           // serves every other path; nil: 404
	Log      zerolog.Logger
}

// New listens on the address. Requests are served once the server runs.
func New(cfg Config, deps Deps) (*httpserver.Server, error) {
	server := httpserver.Options{
		Table:    "http",
		Routes:   []string{"/healthz", "/readyz", "/metrics", "/api/status", "/api/overview", "/api/search", "/api/job", "/api/me", "/api/act/", "/debug/pprof/", "/"},
		Links:    []string{"/", "/index.html"},
		Profiles: cfg.Pprof,
		Log:      deps.Log,
	}
	if deps.Registry != nil {
		server.Registry = deps.Registry
	}

	return httpserver.New(cfg.Config, server, Handler(cfg, deps))
}

// Handler returns the handler of all paths. It does not apply the limits and host names of the
// listener.
func Handler(cfg Config, deps Deps) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": stateOK})
	})
	mux.Handle("GET /readyz", readyHandler(deps.Parts))
	if deps.Registry != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(deps.Registry, promhttp.HandlerOpts{}))
	}
	if deps.Status != nil {
		mux.Handle("GET /api/status", statusHandler(deps))
	}

	if cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	}

	if deps.Page != nil {
		mux.Handle("GET /", deps.Page)
		mux.Handle("POST /api/act/", deps.Page)
	}

	return withSecurityHeaders(mux)
}

// statusHandler answers /api/status.
func statusHandler(deps Deps) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
		defer cancel()
		value, err := deps.Status(ctx)
		if err != nil {
			deps.Log.Warn().Err(err).Msg("cannot determine the status")
			writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": err.Error()})

			return
		}

		writeJSON(w, http.StatusOK, value)
	}
}
