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

// Deadlines of requests and connections. Handlers may extend those of bodies and responses.
const (
	headerTimeout  = 5 * time.Second  // for the header, and a TLS handshake
	readTimeout    = 10 * time.Second // for header and body
	writeTimeout   = 60 * time.Second // for the response, from the end of the header
	idleTimeout    = 60 * time.Second // between two requests
	maxHeaderBytes = 32 << 10
	maxStreams     = 64 // concurrent requests on an HTTP/2 connection
)

// Options describe a listener's purpose. Table and Log are required.
type Options struct {
	Table  string   // configuration table; also the label of its metrics
	Routes []string // paths that the metrics distinguish; a path that ends with a slash includes everything below
	Links  []string // pages that other sites may link to

	// Authenticates says that the handler authenticates every request itself.
	Authenticates bool
	// Profiles says that the handler serves profiles of the process.
	Profiles bool
	// Refuse writes the response to a refused request; nil for plain text.
	Refuse func(w http.ResponseWriter, status int, detail string)

	Registry prometheus.Registerer // nil for none
	Log      zerolog.Logger
}

func (o Options) refuse(w http.ResponseWriter, status int, detail string) {
	if o.Refuse == nil {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.Error(w, detail, status)
		return
	}
	o.Refuse(w, status, detail)
}

// Server is an open listener. Run serves it.
type Server struct {
	cfg     Config
	opts    Options
	limiter *limiter
	http    *http.Server
	stop    context.CancelFunc // starts the graceful stop
}

// ErrListen is matched by the error of New if the address is not available.
var ErrListen = errors.New("cannot listen on the address")

// maxConnections returns the maximum number of connections.
func (s *Server) maxConnections() int {
	const share = 4 // connections may use 1/share of the files that the process may open
	files := openFiles() / share
	if files == 0 || files > uint64(s.cfg.MaxConnections) {
		return s.cfg.MaxConnections
	}
	s.opts.Log.Warn().Int("max_connections", s.cfg.MaxConnections).Uint64("kept", files).
		Msg("the limit of open files is too low for max_connections; raise it (ulimit -n)")

	return int(files)
}

// Addr returns the address of the listener.
func (s *Server) Addr() net.Addr { return s.limiter.Addr() }
