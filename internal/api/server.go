package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"

	"backburn/internal/httpserver"
	"backburn/internal/sse"
)

// New listens on the address. The API is served once the server runs.
func New(cfg Config, deps Deps) (*httpserver.Server, error) {
	h, err := handler(cfg, deps)
	if err != nil {
		return nil, err
	}

	opts := httpserver.Options{
		Table:         "api",
		Routes:        []string{"/v1/submit", "/v1/jobs/", "/v1/verdicts/", "/v1/events"},
		Authenticates: true,
		Refuse:        writeRefusal,
		Registry:      deps.Registry,
		Log:           deps.Log,
	}

	return httpserver.New(cfg.Config, opts, h)
}

// handler returns the handler of the API, without the listener's limits and check of host names.
func handler(cfg Config, deps Deps) (http.Handler, error) {
	tokens, err := newKeyring(cfg.Tokens, deps.Log)
	if err != nil {
		return nil, err
	}

	s := &service{
		cfg:     cfg,
		deps:    deps,
		tokens:  tokens,
		metrics: newMetrics(cfg.Tokens),
		streams: sse.NewPlaces(maxStreams),
	}
	if err := s.metrics.register(deps.Registry, &s.inProgress, s.streams); err != nil {
		return nil, fmt.Errorf("api: metrics: %w", err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/submit", s.submit)
	mux.HandleFunc("GET /v1/jobs/{id}", s.job)
	mux.HandleFunc("GET /v1/verdicts/{sha256}", s.verdict)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("/", notFound)

	return s.authenticated(mux), nil
}

func notFound(w http.ResponseWriter, r *http.Request) {
	for _, known := range []struct{ path, allow string }{
		{"/v1/submit", "POST"},
		{"/v1/jobs/", "GET, HEAD"},
		{"/v1/verdicts/", "GET, HEAD"},
		{"/v1/events", "GET, HEAD"},
	} {
		rest, ok := strings.CutPrefix(r.URL.Path, known.path)
		if ok && (rest == "") != strings.HasSuffix(known.path, "/") && !strings.Contains(rest, "/") && !strings.Contains(known.allow, r.Method) {
			w.Header().Set("Allow", known.allow)
			writeProblem(w, http.StatusMethodNotAllowed, "method-not-allowed", "use "+known.allow)

			return
		}
	}

	writeProblem(w, http.StatusNotFound, "not-found", "there is no resource at this path")
}

// authenticated refuses requests without a valid token.
func (s *service) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		c, err := s.tokens.find(r)
		switch {
		case errors.Is(err, errNoTokens):
			setRetryAfter(w, natsTimeout)
			writeProblem(w, http.StatusServiceUnavailable, "unavailable", "the API has no readable token at the moment")
		case err != nil:
			s.unauthorized(w, r, err)
		case r.URL.Path != path.Clean(r.URL.Path): // ServeMux would answer with a redirect
			writeProblem(w, http.StatusNotFound, "not-found", "there is no resource at this path")
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, c)))
		}
	})
}

func (s *service) unauthorized(w http.ResponseWriter, r *http.Request, err error) {
	why := "unknown"
	if errors.Is(err, errNoBearer) {
		why = "missing"
	}
	s.metrics.unauthorized.WithLabelValues(why).Inc()
	s.tokens.refused.Warn().Str("addr", r.RemoteAddr).Str("path", r.URL.Path).Str("token", why).
		Msg("refused HTTP API request: no valid token")
	w.Header().Set("WWW-Authenticate", `Bearer realm="backburn"`)
	writeProblem(w, http.StatusUnauthorized, "unauthorized", "send the API token as Authorization: Bearer")
}
