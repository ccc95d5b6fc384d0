package app

import (
	"github.com/nats-io/nats.go"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/health"
)

// Roles are the parts that a process runs.
type Roles struct {
	Watch bool // the folders
	Work  bool // uploads and verdicts
	API   bool // the HTTP API, if configured
	Clamd bool // the clamd protocol, if configured
	Mail  bool // the mail filter, if configured
	Sinks bool // the sinks, if configured

	// NATS is the server in this process; nil: NATS is another process.
	NATS EmbeddedNATS

	// Version is the version of the binary.
	Version string

	// Reload reloads the configuration at SIGHUP; nil: SIGHUP does not reload it.
	Reload *cli.Reload
}

// EmbeddedNATS is a NATS server in the same process; see package natsd.
type EmbeddedNATS interface {
	// MaxStore returns how much the server may store.
	MaxStore() config.Size

	// Report adds the server's parts to a health registry.
	Report(r *health.Registry)

	// InProcess returns the option that connects a client without a socket.
	InProcess() nats.Option
}

// process returns the name of the process's role in the fleet.
func (r Roles) process() string {
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

// Parts returns the parts for which the configuration is validated.
func (r Roles) Parts() config.Part { return config.Processes[r.process()] }

// name returns the role with the process's NATS permissions. A worker's include those of a watcher.
func (r Roles) name() string {
	switch {
	case r.Work:
		return "worker"
	case r.Watch:
		return "watcher"
	}
	return "api"
}
