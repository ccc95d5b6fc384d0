package cli

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"backburn/internal/config"
)

// The name of the field is a variable of the library, so it is set once, before any
// logger is used.
func init() { zerolog.ErrorFieldName = "err" }

// stamp is the time in log lines: UTC, RFC 3339 with milliseconds.
const stamp = "2006-01-02T15:04:05.000Z07:00"

func newLogger(w io.Writer, cfg config.Log, env config.Env) zerolog.Logger {
	terminal := isTerminal(w)
	if cfg.Format == "console" || cfg.Format == "auto" && terminal {
		_, plain := env("NO_COLOR")
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: plain || !terminal}
	}
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		level = zerolog.InfoLevel // not reached: the configuration was checked
	}
	return zerolog.New(w).Level(level).Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format(stamp))
	}))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
