package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Server is a Listener with the function that serves its connections, and the contexts that end
// them.
type Server struct {
	*Listener

	Serve func(*Conn) // serves a connection until it ends; set it before Run

	Ending context.Context //nolint:containedctx // ends when the server stops, so that waiting clients are answered
	Life   context.Context //nolint:containedctx // ends after the grace period, and with it requests in progress

	table     string
	end, kill context.CancelFunc
}

// NewServer opens a listener. table is the name of its table in the configuration; errors begin
// with it. Run serves the listener; a caller that does not call Run must call Close. The error
// matches ErrListen if the address is not available.
func NewServer(cfg Config, table string) (*Server, error) {
	l, err := Listen(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s.listen: %w", table, err)
	}

	s := &Server{Listener: l, table: table}
	s.Life, s.kill = context.WithCancel(context.Background())
	s.Ending, s.end = context.WithCancel(s.Life)

	return s, nil
}

// Close stops listening and cancels Ending. It may be called more than once.
func (s *Server) Close() {
	s.end()
	_ = s.Listener.Close()
}

// Run serves each connection on its own goroutine until ctx ends. It then cancels Ending, so that
// waiting clients are answered. After the grace period it cancels Life, so that requests in
// progress end. Run returns once all connections are closed; the error is nil if ctx ended. It
// must be called only once.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	l := s.Listener
	served := make(chan error, 1)
	go func() { served <- l.acceptAll(s.Serve) }()

	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		_ = l.Close()
		<-served //nolint:errcheck // it says only that the listener was closed
	}
	s.Close()
	l.Interrupt()

	last, stop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer stop()
	defer s.kill()
	defer context.AfterFunc(last, s.kill)()
	l.Drain(last)
	if err != nil {
		return fmt.Errorf("%s: %w", s.table, err)
	}

	return nil
}

// Register registers a counter of what the server has answered, with a series for each value of its
// label, and a gauge of the open connections.
func (s *Server) Register(reg prometheus.Registerer, answers prometheus.CounterOpts, label string, values []string, connectionsHelp string) (*prometheus.CounterVec, error) {
	counter := prometheus.NewCounterVec(answers, []string{label})
	for _, value := range values {
		counter.WithLabelValues(value)
	}

	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "backburn_" + s.table + "_connections", Help: connectionsHelp,
	}, func() float64 { return float64(s.Open()) })

	return counter, errors.Join(reg.Register(counter), reg.Register(open))
}

func (l *Listener) acceptAll(serve func(*Conn)) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serve(c.(*Conn))
	}
}
