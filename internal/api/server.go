package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/httpserver"
	"backburn/internal/sse"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// Queue is what the API needs of the pipeline; a *queue.Queue is one.
type Queue interface {
	Await(ctx context.Context, ref pipeline.Ref) (results.Event, error)
	Final(ctx context.Context, ref pipeline.Ref) (results.Event, bool, error)
	Known(ctx context.Context, sha256 string) (queue.SampleTrace, bool, error)
	Trace(ctx context.Context, q queue.TraceQuery) (queue.Trace, error)

	JetStream() jetstream.JetStream
	Prefix() string // nats.prefix
}

// Intake takes submissions.
type Intake interface {
	Submit(ctx context.Context, j pipeline.Job, c queue.Content) (queue.Receipt, error)
}

// Config is what the API is made with. Every field is required but those that say otherwise.
type Config struct {
	Tokens      []Token
	MaxFileSize int64 // in bytes; exactly so many are fine

	// Ready returns nil while NATS is connected. It answers at once.
	Ready  func(ctx context.Context) error
	Intake Intake
	Queue  Queue

	Registry *prometheus.Registry // nil for none
	Log      zerolog.Logger
}

// Limits of what the API takes on.
const (
	stallTimeout = 30 * time.Second // a body of which nothing came for so long
	bodyRate     = 4 << 10          // bytes per second that a body comes at on average, at least
	answerTime   = 30 * time.Second // for an answer to be read
	maxWait      = 2 * time.Minute  // of ?wait
	askTimeout   = 10 * time.Second // for NATS to answer
	submissions  = 64               // at a time; a token has at most half of them where there are several
	streams      = 64               // of events, at a time
)

// service answers requests.
type service struct {
	cfg        Config
	base       string // path under which a proxy shows it
	tokens     *keyring
	metrics    *metrics
	inProgress atomic.Int64 // submissions
	streams    sse.Places
}

// New listens, and serves the API once the server runs.
func New(at httpserver.Config, cfg Config) (*httpserver.Server, error) {
	h, err := Handler(at.BasePath, cfg)
	if err != nil {
		return nil, err
	}
	use := httpserver.Use{
		Table:         "api",
		Routes:        []string{"/v1/submit", "/v1/jobs/", "/v1/verdicts/", "/v1/events"},
		Authenticates: true,
		Refuse:        refuseListener,
		Log:           cfg.Log,
	}
	if cfg.Registry != nil {
		use.Registry = cfg.Registry
	}

	return httpserver.New(at, use, h)
}

// Handler is what a listener serves, without its limits and names. base is the path under which a
// proxy shows it.
func Handler(base string, cfg Config) (http.Handler, error) {
	tokens, err := newKeyring(cfg.Tokens, cfg.Log)
	if err != nil {
		return nil, err
	}
	s := &service{
		cfg:     cfg,
		base:    base,
		tokens:  tokens,
		metrics: newMetrics(cfg.Tokens),
		streams: sse.NewPlaces(streams),
	}
	if cfg.Registry != nil {
		if err := s.metrics.register(cfg.Registry, s); err != nil {
			return nil, fmt.Errorf("api: metrics: %w", err)
		}
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/submit", s.submit)
	mux.HandleFunc("GET /v1/jobs/{id}", s.job)
	mux.HandleFunc("GET /v1/verdicts/{sha256}", s.verdict)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("/", nowhere)

	return s.authenticated(mux), nil
}

// nowhere answers what is none of ours.
func nowhere(w http.ResponseWriter, r *http.Request) {
	for _, known := range []struct{ path, allow string }{
		{"/v1/submit", "POST"},
		{"/v1/jobs/", "GET, HEAD"},
		{"/v1/verdicts/", "GET, HEAD"},
		{"/v1/events", "GET, HEAD"},
	} {
		rest, ok := strings.CutPrefix(r.URL.Path, known.path)
		if ok && (rest == "") != strings.HasSuffix(known.path, "/") && !strings.Contains(rest, "/") && !strings.Contains(known.allow, r.Method) {
			w.Header().Set("Allow", known.allow)
			problem(w, http.StatusMethodNotAllowed, "method-not-allowed", "use "+known.allow)
			return
		}
	}
	problem(w, http.StatusNotFound, "not-found", "there is nothing at this address")
}

// authenticated lets nobody in without a token.
func (s *service) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h, err := s.tokens.holder(r)
		switch {
		case errors.Is(err, errNoTokens):
			retry(w, askTimeout)
			problem(w, http.StatusServiceUnavailable, "unavailable", "the API has no token at the moment")
		case err != nil:
			s.unauthorized(w, r, err)
		case r.URL.Path != path.Clean(r.URL.Path): // ServeMux would redirect
			problem(w, http.StatusNotFound, "not-found", "there is nothing at this address")
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), holderKey{}, h)))
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
		Msg("refused a request of the HTTP API for its token")
	w.Header().Set("WWW-Authenticate", `Bearer realm="backburn"`)
	problem(w, http.StatusUnauthorized, "unauthorized", "send the API token as Authorization: Bearer")
}

// unavailable answers where NATS does not.
func (s *service) unavailable(w http.ResponseWriter, err error) {
	s.cfg.Log.Error().Err(err).Msg("cannot read the queue for an HTTP client")
	retry(w, askTimeout)
	problem(w, http.StatusServiceUnavailable, "unavailable", "the queue does not answer")
}

// ready reports whether NATS is there to be asked; else it has answered.
func (s *service) ready(w http.ResponseWriter, r *http.Request) bool {
	if err := s.cfg.Ready(r.Context()); err != nil {
		s.unavailable(w, err)
		return false
	}

	return true
}
