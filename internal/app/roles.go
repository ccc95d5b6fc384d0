package app

import (
	"github.com/nats-io/nats.go"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/health"
)

// Roles says which parts a process runs.
type Roles struct {
	Watch bool // the watchers of folders
	Work  bool // the worker: uploads and verdicts
	API   bool // the HTTP API, if configured
	Clamd bool // the clamd protocol, if configured
	Mail  bool // the mail filter, if configured
	Sinks bool // the sinks, if configured

	// NATS is the NATS server in this process; nil: the server is another process.
	NATS EmbeddedNATS

	// Reload reloads the configuration at SIGHUP; nil: SIGHUP does not reload it.
	Reload *cli.Reload
}

// EmbeddedNATS is a NATS server in the same process; see package natsd.
type EmbeddedNATS interface {
	// MaxStore returns the most that the server's streams may store.
	MaxStore() config.Size

	// Report adds the server's parts to a health registry.
	Report(r *health.Registry)

	// InProcess returns the option that connects a client without a socket.
	InProcess() nats.Option
}

// fleetRole returns the role that the process reports to the fleet, see fleet.Roles.
func (r Roles) fleetRole() string {
	switch {
	case r.Work && r.Watch:
		return "run"
	case r.Work:
		return "worker"
	case r.Watch:
		return "watcher"
	case r.API:
		return "api"
	case r.Clamd:
		return "clamd"
	case r.Mail:
		return "mail"
	}

	return "sink"
}

// Parts returns the parts whose configuration has to be valid.
func (r Roles) Parts() config.Part { return config.Processes[r.fleetRole()] }

// natsRole returns the name of the process's NATS permissions: worker, watcher or api. A worker's
// permissions include those of a watcher.
func (r Roles) natsRole() string {
	switch {
	case r.Work:
		return "worker"
	case r.Watch:
		return "watcher"
	}
	return "api"
}
