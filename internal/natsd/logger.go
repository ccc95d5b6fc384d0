package natsd

import (
	"fmt"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// logger writes the server's messages to our log. Its notices are logged at debug level. Its fatal
// errors end Start or, once the server is up, are logged; they never end the process.
type logger struct {
	log   zerolog.Logger
	fatal chan error // holds the first fatal error of the start
	up    atomic.Bool

	writeFailed atomic.Bool // the store could not be written since it was opened
}

func newLogger(log zerolog.Logger) *logger { return &logger{log: log, fatal: make(chan error, 1)} }

func (l *logger) say(level zerolog.Level, format string, args []any) {
	l.log.WithLevel(level).Str("text", fmt.Sprintf(format, args...)).Msg("nats server")
}

func (l *logger) Noticef(format string, v ...any) { l.say(zerolog.DebugLevel, format, v) }
func (l *logger) Warnf(format string, v ...any)   { l.say(zerolog.WarnLevel, format, v) }
func (l *logger) Debugf(format string, v ...any)  { l.say(zerolog.DebugLevel, format, v) }
func (l *logger) Tracef(format string, v ...any)  { l.say(zerolog.TraceLevel, format, v) }

// Errorf logs an error of the server. That is the only way in which it tells us of a store that it
// could not write.
func (l *logger) Errorf(format string, v ...any) {
	if saysWriteFailed(fmt.Sprintf(format, v...)) {
		l.writeFailed.Store(true)
	}
	l.say(zerolog.ErrorLevel, format, v)
}

func (l *logger) Fatalf(format string, v ...any) {
	if !l.up.Load() {
		select {
		case l.fatal <- fmt.Errorf(format, v...):
			return
		default:
		}
	}
	l.say(zerolog.ErrorLevel, format, v)
}
