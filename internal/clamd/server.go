package clamd

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/guard"
	"backburn/internal/judge"
	"backburn/internal/local"
	"backburn/pipeline"
)

// Answers for contents without a verdict.
const (
	UnknownOK    = "ok"    // OK
	UnknownFound = "found" // WildFire.unknown FOUND
	UnknownError = "error" // ERROR
)

// Config configures a Server. All fields are required unless they say otherwise.
type Config struct {
	Listen      string      // see local.Valid
	Mode        fs.FileMode // of a Unix socket
	Connections int         // maximum number at a time
	Source      string      // for submitted contents
	Priority    pipeline.Priority
	Wait        time.Duration // for the verdict of submitted contents; 0 does not wait
	Unknown     string        // UnknownOK, UnknownFound or UnknownError
	MaxStream   int64         // maximum size of contents in bytes
	Roots       []string      // absolute paths of folders; clients may scan paths below them; optional
	Judge       *judge.Judge
	Guard       *guard.Guard // optional
	Log         zerolog.Logger
}

// Server is an open listener. Run serves it.
type Server struct {
	cfg      Config
	listener *local.Listener
	metrics  metrics
	started  time.Time

	ending context.Context //nolint:containedctx // ends those who wait
	end    context.CancelFunc
	life   context.Context //nolint:containedctx // ends all that is under way
	kill   context.CancelFunc
}

// New opens the listener. Run serves it; a caller that does not call Run must call Close. The error
// matches local.ErrListen if the address is not available.
func New(cfg Config, reg prometheus.Registerer) (*Server, error) {
	l, err := local.Listen(local.Config{Address: cfg.Listen, Mode: cfg.Mode, Limit: cfg.Connections})
	if err != nil {
		return nil, fmt.Errorf("clamd.listen: %w", err)
	}

	s := &Server{cfg: cfg, listener: l, started: time.Now()}
	s.life, s.kill = context.WithCancel(context.Background()) //nolint:gosec // Serve calls it
	s.ending, s.end = context.WithCancel(s.life)
	if s.metrics, err = newMetrics(reg, l); err != nil {
		s.Close()
		return nil, err
	}

	return s, nil
}

// Addr returns the address of the listener.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops listening and closes all connections. It may be called more than once.
func (s *Server) Close() {
	s.end()
	_ = s.listener.Close()
}
