package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// SurviveHangup keeps SIGHUP from ending the process: for daemons, before they do anything else,
// since a service manager or a log rotation may send it at any time. What it then does is the
// node's to say. The function that comes with it gives the signal back.
func SurviveHangup() (release func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)

	return func() { signal.Stop(c) }
}
