package app

import (
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/health"
)

// Roles are what a process does.
type Roles struct {
	Watch bool // the folders
	Work  bool // uploads and verdicts
	API   bool // the HTTP API, where one is configured
	Clamd bool // the protocol of clamd, likewise
	Mail  bool // the filter for mail, likewise
	Sinks bool // hands events on, where sinks are configured

	// MaxStore is how much the server may store, in bytes, where that is known; 0 where it isn't.
	MaxStore config.Size

	// Version is that of the binary.
	Version string

	// Reload is how the configuration is read again at SIGHUP; nil: not at all.
	Reload *cli.Reload

	// Report has the health registry told of more that the process needs, such as its own NATS
	// server; nil for nothing.
	Report func(*health.Registry)
}

// process is what the process is called among those of the fleet.
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

// Parts is what the configuration of the process is validated for.
func (r Roles) Parts() config.Part { return config.Processes[r.process()] }

// name is the role for which the process has its NATS permissions; a worker's include those of
// a watcher.
func (r Roles) name() string {
	switch {
	case r.Work:
		return "worker"
	case r.Watch:
		return "watcher"
	}
	return "api"
}
