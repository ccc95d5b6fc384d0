package clamd

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backburn/internal/local"
)

// New opens the listener. Run serves it; a caller that does not call Run must call Close. The error
// matches local.ErrListen if the address is not available.
func New(cfg Config, deps Deps) (*Server, error) {
	l, err := local.NewServer(cfg.Config, "clamd")
	if err != nil {
		return nil, err
	}

	s := &Server{Server: l, cfg: cfg, deps: deps, started: time.Now()}
	s.Serve = s.serve
	s.answers, err = l.Register(deps.Registry, prometheus.CounterOpts{
		Name: "backburn_clamd_answers_total",
		Help: "Contents that clients asked about: ok or found with a verdict, unknown without one, error if they could not be judged.",
	}, "answer", []string{answeredOK, answeredFound, answeredUnknown, answeredError}, "Open connections of clamd clients.")
	if err != nil {
		s.Close()
		return nil, err
	}

	return s, nil
}

// serve serves one client until the connection ends.
func (s *Server) serve(conn *local.Conn) {
	n := &session{s: s, p: newPeer(conn)}
	n.commands.SetLimit(sessionCommands)
	defer n.p.close()
	defer func() { _ = n.commands.Wait() }()

	for n.next() && n.numbered {
	}
}
