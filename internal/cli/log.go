package cli

import (
	"io"
	"time"

	"github.com/rs/zerolog"

	"backburn/internal/config"
)

// The name of the field is a variable of the library, so it is set once, before any
// logger is used.
func init() { zerolog.ErrorFieldName = "err" }

// stamp is the time in log lines: UTC, RFC 3339 with milliseconds.
const stamp = "2006-01-02T15:04:05.000Z07:00"

func newLogger(w io.Writer, cfg config.Log, colors bool) zerolog.Logger {
	if cfg.Format == "console" || cfg.Format == "auto" && isTerminal(w) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !colors}
	}
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		level = zerolog.InfoLevel // not reached: the configuration was checked
	}
	return zerolog.New(w).Level(level).Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format(stamp))
	}))
}
