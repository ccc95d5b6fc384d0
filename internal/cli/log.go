package cli

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"backburn/internal/config"
)

// The name of the field is a variable of the library, so it is set once, before any
// logger is used.
func init() { zerolog.ErrorFieldName = "err" }

// stamp is the format of times in log lines: UTC, RFC 3339 with milliseconds.
const stamp = "2006-01-02T15:04:05.000Z07:00"

// level is the minimum level of a logger and all its children. It may change at any time. It is a
// zerolog.Sampler, which zerolog calls before it creates an event.
type level struct{ from atomic.Int32 }

// Sample implements zerolog.Sampler.
func (l *level) Sample(lvl zerolog.Level) bool { return int32(lvl) >= l.from.Load() }

// set sets the level by its name in log.level.
func (l *level) set(name string) {
	from, err := zerolog.ParseLevel(name)
	if err != nil {
		from = zerolog.InfoLevel // cannot happen: the configuration is validated
	}
	l.from.Store(int32(from))
}

func newLogger(w io.Writer, cfg config.Log, colors bool, at *level) zerolog.Logger {
	if cfg.Format == "console" || cfg.Format == "auto" && IsTerminal(w) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !colors}
	}
	return zerolog.New(w).Sample(at).Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format(stamp))
	}))
}
