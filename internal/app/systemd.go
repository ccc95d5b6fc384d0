package app

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
)

// notifyReloading reports to systemd that the process reloads its configuration. done reports that
// the reload is complete. This is the protocol of Type=notify-reload and Type=notify.
func notifyReloading(log zerolog.Logger) (done func()) {
	state := daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()
	notify := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn().Err(err).Msg("cannot notify systemd")
		}
	}
	notify(state)

	return func() { notify(daemon.SdNotifyReady) }
}

// notifySystemd reports the state of the process to systemd (Type=notify) until ctx ends: ready at
// once (the caller waits for the first checks), stopping when stopping is closed, and in between
// two watchdog notifications per WatchdogSec. They only show that the process is running, and do
// not depend on NATS or WildFire, which a restart would not repair. Without systemd it does
// nothing.
func notifySystemd(ctx context.Context, stopping <-chan struct{}, log zerolog.Logger) {
	notify := func(state string) bool {
		sent, err := daemon.SdNotify(false, state)
		if err != nil {
			log.Warn().Err(err).Msg("cannot notify systemd")
		}

		return sent
	}
	if !notify(daemon.SdNotifyReady) {
		return
	}

	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn().Err(err).Msg("cannot parse WATCHDOG_USEC; systemd gets no watchdog notifications")
	}

	var alive <-chan time.Time
	if interval > 0 {
		tick := time.NewTicker(interval / 2)
		defer tick.Stop()
		alive = tick.C
		notify(daemon.SdNotifyWatchdog)
	}

	for {
		select {
		case <-alive:
			notify(daemon.SdNotifyWatchdog)
		case <-stopping:
			notify(daemon.SdNotifyStopping)
			stopping = nil
		case <-ctx.Done():
			return
		}
	}
}
