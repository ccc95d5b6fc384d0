package app

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"

	"backburn/internal/health"
)

// notifyReloading reports to systemd that the process reloads its configuration. done reports that
// the reload is complete. This is the protocol of Type=notify-reload and Type=notify.
func notifyReloading(log zerolog.Logger) (done func()) {
	notify(daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec(), log)

	return func() { notify(daemon.SdNotifyReady, log) }
}

// notify reports a state to systemd. sent is false without systemd, or after an error.
func notify(state string, log zerolog.Logger) (sent bool) {
	sent, err := daemon.SdNotify(false, state)
	if err != nil {
		log.Warn().Err(err).Msg("cannot notify systemd")
	}

	return sent
}

// notifySystemd reports the state of the process to systemd (Type=notify) until ctx ends: ready
// once every part was checked, and stopping when jobs ends. From ready on, it sends two watchdog
// notifications per WatchdogSec. They only show that the process is running, and do not depend on
// NATS or WildFire, which a restart would not repair. It reports nothing without systemd, or if
// jobs ends before every part was checked.
func notifySystemd(ctx, jobs context.Context, parts *health.Registry, log zerolog.Logger) {
	if parts.Await(jobs, health.Checked) != nil || !notify(daemon.SdNotifyReady, log) {
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
		notify(daemon.SdNotifyWatchdog, log)
	}

	for stopping := jobs.Done(); ; {
		select {
		case <-alive:
			notify(daemon.SdNotifyWatchdog, log)
		case <-stopping:
			notify(daemon.SdNotifyStopping, log)
			stopping = nil
		case <-ctx.Done():
			return
		}
	}
}
