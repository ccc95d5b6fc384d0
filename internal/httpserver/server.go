package httpserver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// The deadlines of a request and its connection. Handlers move those of bodies and answers.
const (
	headerTimeout  = 5 * time.Second  // for the header, and a TLS handshake
	readTimeout    = 10 * time.Second // for header and body
	writeTimeout   = 60 * time.Second // for the answer, from the header's end
	idleTimeout    = 60 * time.Second // between two requests
	maxHeaderBytes = 32 << 10
	maxStreams     = 64 // requests at a time on an HTTP/2 connection
)

// Use says what a listener is for. Table and Log are required.
type Use struct {
	Table  string   // of the configuration; also the label of its metrics
	Routes []string // paths that metrics tell apart; one that ends with a slash stands for all below
	Links  []string // pages that other sites may link to

	// Authenticates says that the handler lets nobody in who has not shown who he is.
	Authenticates bool
	// Profiles says that the handler serves profiles of the process.
	Profiles bool
	// Refuse answers a request that the listener does not take; nil for plain text.
	Refuse func(w http.ResponseWriter, status int, detail string)

	Registry prometheus.Registerer // nil for none
	Log      zerolog.Logger
}

func (u Use) refuse(w http.ResponseWriter, status int, detail string) {
	if u.Refuse == nil {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.Error(w, detail, status)
		return
	}
	u.Refuse(w, status, detail)
}

// Server is a listener that is open already. Run serves it.
type Server struct {
	cfg     Config
	use     Use
	limiter *limiter
	http    *http.Server
	stop    context.CancelFunc // begins the stop
}

// ErrListen is matched by the error of New where the address cannot be had.
var ErrListen = errors.New("the address cannot be had")

// most is how many connections there may be.
func (s *Server) most() int {
	const share = 4 // of the files that the process may open; the others are for its work
	files := openFiles() / share
	if files == 0 || files > uint64(s.cfg.MaxConnections) {
		return s.cfg.MaxConnections
	}
	s.use.Log.Warn().Int("max_connections", s.cfg.MaxConnections).Uint64("kept", files).
		Msg("the process may open too few files for so many connections; raise the limit (ulimit -n)")

	return int(files)
}

// Addr is the address that it listens on.
func (s *Server) Addr() net.Addr { return s.limiter.Addr() }
