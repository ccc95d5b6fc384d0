package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// Queue is what the API needs of the pipeline.
type Queue interface {
	Await(ctx context.Context, ref pipeline.Ref) (results.Event, error)
	Final(ctx context.Context, ref pipeline.Ref) (results.Event, bool, error)
	Known(ctx context.Context, sha256 string) (queue.SampleTrace, bool, error)
	Trace(ctx context.Context, q queue.TraceQuery) (queue.Trace, error)
}

// Intake takes submissions.
type Intake interface {
	Submit(ctx context.Context, j pipeline.Job, c queue.Content) (queue.Receipt, error)
}

// Follower hands on events of a source, from a time on, until ctx ends.
type Follower func(ctx context.Context, since time.Time, handle results.Handler) error

// Config is what a Server is made with. Every field is required but those that say otherwise.
type Config struct {
	Listen      string // host:port; port 0 takes any free one
	TokenFile   string // with the bearer token, read at every request, so that it can be renewed in place
	CertFile    string // PEM; with KeyFile the server speaks TLS; optional
	KeyFile     string
	Source      string            // that submissions are handed in under
	Priority    pipeline.Priority // of jobs whose request names none
	MaxFileSize int64             // in bytes; exactly so many are fine

	Intake Intake
	Queue  Queue
	Follow Follower
	Log    zerolog.Logger
}

// Limits of what a Server takes on.
const (
	readHeaderTimeout = 5 * time.Second
	stallTimeout      = 30 * time.Second // a body of which nothing came, or a reader who took nothing, for so long
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	maxWait           = 2 * time.Minute // of ?wait
	askTimeout        = 10 * time.Second
	submissions       = 64 // at a time
	streams           = 64 // of events, at a time
	pingInterval      = 15 * time.Second
)

// Server is a listener that is open already. Run serves it.
type Server struct {
	cfg      Config
	listener net.Listener
	http     *http.Server

	ending  context.Context // ends those who wait or follow
	end     context.CancelFunc
	inHand  atomic.Int64 // submissions
	readers atomic.Int64 // of events
}

// ErrListen is matched by the error of New where the address can't be had.
var ErrListen = errors.New("the address can't be had")

// New listens. It serves nothing before Run; whoever does not call Run calls Close.
func New(cfg Config) (*Server, error) {
	if _, err := auth.ReadSecretFile(cfg.TokenFile); err != nil {
		return nil, fmt.Errorf("api.token_file: %w", err)
	}
	s := &Server{cfg: cfg}
	s.ending, s.end = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: nil,
	}
	if cfg.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("api.cert_file: %w", err)
		}
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("api.listen: %w: %w; free the address, or choose another", ErrListen, err)
	}
	s.listener = l
	return s, nil
}

// Addr is the address that it listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends; those who wait are then answered with what is known, streams of
// events end, and submissions in hand get the grace time. It returns nil when it was ctx that
// ended it. Call it once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	served := make(chan error, 1)
	go func() {
		if s.http.TLSConfig != nil {
			served <- s.http.ServeTLS(s.listener, "", "")
			return
		}
		served <- s.http.Serve(s.listener)
	}()
	select {
	case err := <-served:
		s.Close()
		return fmt.Errorf("api: %w", err)
	case <-ctx.Done():
	}
	s.end()
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	err := s.http.Shutdown(last)
	s.Close()
	<-served
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("api: %w", err)
	}
	return nil
}

// Close closes the listener and every connection at once. It may be called more than once.
func (s *Server) Close() {
	s.end()
	_ = s.http.Close()
	_ = s.listener.Close() // http.Server knows it only once it serves
}

// Handler is what a Server serves.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/submit", s.submit)
	mux.HandleFunc("GET /v1/jobs/{id}", s.job)
	mux.HandleFunc("GET /v1/verdicts/{sha256}", s.verdict)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		for _, known := range []struct{ path, allow string }{{"/v1/submit", "POST"}, {"/v1/jobs/", "GET"}, {"/v1/verdicts/", "GET"}, {"/v1/events", "GET"}} {
			if strings.HasPrefix(r.URL.Path, known.path) && r.Method != known.allow {
				w.Header().Set("Allow", known.allow)
				problem(w, http.StatusMethodNotAllowed, "method-not-allowed", "use "+known.allow)
				return
			}
		}
		problem(w, http.StatusNotFound, "not-found", "there is nothing at this address")
	})
	return s.guard(mux)
}

// guard lets nobody in without the token.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		token, err := auth.ReadSecretFile(s.cfg.TokenFile)
		if err != nil {
			s.cfg.Log.Error().Err(err).Msg("cannot read the API token: every request is refused")
			problem(w, http.StatusServiceUnavailable, "unavailable", "the API has no token at the moment")
			return
		}
		scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || !same(strings.TrimSpace(shown), token.Reveal()) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="backburn"`)
			problem(w, http.StatusUnauthorized, "unauthorized", "send the API token as Authorization: Bearer")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// same compares in a time that tells nothing, not even the length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
