package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// SurviveHangup prevents SIGHUP from ending the process. Daemons call it first, because a service
// manager or a log rotation may send SIGHUP at any time. Package app handles the signal later.
// release restores the default.
func SurviveHangup() (release func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)

	return func() { signal.Stop(c) }
}
