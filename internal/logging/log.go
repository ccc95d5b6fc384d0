// Package logging creates the loggers of the binaries.
package logging

import (
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"backburn/pipeline"
)

// The name of the error field is a variable of the library, so it is set before any logger exists.
func init() { zerolog.ErrorFieldName = "err" }

// Config configures logs: the keys of [log].
type Config struct {
	Level  string `toml:"level" reload:"true" doc:"\"trace\", \"debug\", \"info\", \"warn\" or \"error\"."`
	Format string `toml:"format" doc:"\"auto\" (console on a terminal, JSON elsewhere), \"console\" or \"json\"."`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{Level: "info", Format: "auto"} }

// Check calls bad for each key with an invalid value.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	want(slices.Contains([]string{"trace", "debug", "info", "warn", "error"}, c.Level), "level",
		`"trace", "debug", "info", "warn" or "error"`)
	want(slices.Contains([]string{"auto", "console", "json"}, c.Format), "format", `"auto", "console" or "json"`)
}

// stamp is the format of times in log lines: UTC, RFC 3339 with milliseconds.
const stamp = "2006-01-02T15:04:05.000Z07:00"

// Level is the minimum level of a logger and all its children. It may change at any time. It is a
// zerolog.Sampler, which zerolog calls before it creates an event.
type Level struct{ from atomic.Int32 }

// Sample implements zerolog.Sampler.
func (l *Level) Sample(lvl zerolog.Level) bool { return int32(lvl) >= l.from.Load() }

// Set sets the level by its name in log.level.
func (l *Level) Set(name string) {
	from, err := zerolog.ParseLevel(name)
	if err != nil {
		from = zerolog.InfoLevel // cannot happen: the configuration is validated
	}
	l.from.Store(int32(from))
}

// New returns a logger that writes to w. The format "auto" depends on whether w is a terminal.
func New(w io.Writer, cfg Config, terminal, colors bool, at *Level) zerolog.Logger {
	if cfg.Format == "console" || cfg.Format == "auto" && terminal {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !colors}
	}
	return zerolog.New(w).Sample(at).Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format(stamp))
	}))
}
