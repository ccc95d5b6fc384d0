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

// What contents without a verdict are answered with.
const (
	UnknownOK    = "ok"    // OK
	UnknownFound = "found" // WildFire.unknown FOUND
	UnknownError = "error" // ERROR
)

// Config is what a Server is made with. Every field is required but those that say otherwise.
type Config struct {
	Listen      string      // see local.Valid
	Mode        fs.FileMode // of a unix socket
	Connections int         // at a time
	Source      string      // that contents are submitted under
	Priority    pipeline.Priority
	Wait        time.Duration // for the verdict of contents that were submitted; 0: not at all
	Unknown     string        // UnknownOK, UnknownFound or UnknownError
	MaxStream   int64         // of contents, in bytes
	Roots       []string      // absolute names of folders; paths below them may be scanned; optional
	Judge       *judge.Judge
	Guard       *guard.Guard // optional
	Log         zerolog.Logger
}

// Server is a listener that is open already. Run serves it.
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

// New listens. It serves nothing before Run; whoever does not call Run calls Close. Its error
// matches local.ErrListen where the address cannot be had.
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

// Addr is the address that it listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops listening, and ends those who wait. It may be called more than once.
func (s *Server) Close() {
	s.end()
	_ = s.listener.Close()
}
