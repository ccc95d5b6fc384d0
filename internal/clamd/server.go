package clamd

import (
	"path/filepath"
	"strconv"
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

// Config configures a Server: the keys of [clamd].
type Config struct {
	local.Config `toml:",inline"`

	Source    string            `toml:"source" doc:"Source of the submitted jobs."`
	Priority  pipeline.Priority `toml:"priority" doc:"\"urgent\", \"normal\" or \"bulk\"."`
	Wait      time.Duration     `toml:"wait" doc:"How long to wait for the verdict of new contents, at most 10m. 0s: do not wait."`
	Unknown   string            `toml:"unknown" doc:"The answer if there is no verdict after wait: \"ok\", \"found\" (WildFire.unknown FOUND) or \"error\"."`
	MaxStream int64             `toml:"max_stream" unit:"bytes" doc:"Largest size of contents. Larger ones are answered with an error."`
	Roots     []string          `toml:"roots" doc:"Folders from which SCAN and similar commands may read files."`
}

// DefaultConfig returns the defaults, under which nothing listens.
func DefaultConfig() Config {
	return Config{
		Config:    local.Config{Mode: "0660", MaxConnections: 1024},
		Source:    "clamd",
		Priority:  pipeline.Normal,
		Wait:      30 * time.Second,
		Unknown:   UnknownOK,
		MaxStream: 100_000_000,
		Roots:     []string{},
	}
}

// Check calls bad for each key with an invalid value.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	want(pipeline.ValidSource(c.Source), "source", pipeline.SourceRule)
	want(c.Priority.Valid(), "priority", pipeline.PriorityRule)
	want(c.Wait >= 0 && c.Wait <= 10*time.Minute, "wait", "0s to 10m")
	want(c.Unknown == UnknownOK || c.Unknown == UnknownFound || c.Unknown == UnknownError, "unknown", `"ok", "found" or "error"`)
	want(c.MaxStream > 0, "max_stream", "more than 0")
	for i, r := range c.Roots {
		want(filepath.IsAbs(r), "roots["+strconv.Itoa(i)+"]", "the absolute name of a folder")
	}
}

// Deps has the dependencies of a Server.
type Deps struct {
	Judge    *judge.Judge
	Guard    *guard.Guard // optional
	Registry prometheus.Registerer
	Log      zerolog.Logger
}

// Server is an open listener. Run serves it: at the end of its context, clients that wait for a
// verdict are answered immediately, with what is known.
type Server struct {
	*local.Server

	cfg     Config
	deps    Deps
	answers *prometheus.CounterVec
	started time.Time
}

// The values of the label "answer".
const (
	answeredOK      = "ok"
	answeredFound   = "found"
	answeredUnknown = "unknown"
	answeredError   = "error"
)
