package app

import (
	"context"
	"errors"
	"os"
	"time"

	"backburn/internal/config"
	"backburn/internal/health"
)

// reloadTimeout limits the calls to NATS during a reload.
const reloadTimeout = 5 * time.Second

// reloadOnHangup reloads the configuration and makes the sinks reopen their files at each SIGHUP,
// until ctx ends.
func (n *Node) reloadOnHangup(ctx context.Context, hangups <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
		}

		done := notifyReloading(n.log)
		n.sinks.reopen()
		n.reload(ctx)
		if ctx.Err() == nil {
			done()
		}
	}
}

// reload reads the configuration again. It applies the changed keys that a running process can
// change, and logs those that need a restart. An invalid configuration changes nothing.
func (n *Node) reload(ctx context.Context) {
	if n.roles.Reload == nil {
		return
	}

	configHealth := n.health.Part("configuration", "")
	changes, err := n.reconfigure(ctx)
	if err != nil {
		configHealth.Fault(health.Fault{
			State:  health.Degraded,
			Reason: "the last reload was rejected: " + err.Error(),
			Remedy: "fix what `backburn config check` reports, then reload again",
		})
		n.log.Error().Strs("problems", problemsOf(err)).Msg("SIGHUP: configuration rejected; keeping the current settings")

		return
	}

	configHealth.OK()

	reloaded, restart := []string{}, []string{}
	for _, c := range changes {
		if c.Reload {
			reloaded = append(reloaded, c.Key)
		} else {
			restart = append(restart, c.Key)
		}
	}

	n.log.Info().Strs("changed", reloaded).Msg("SIGHUP: configuration reloaded, files of sinks reopened")
	if len(restart) > 0 {
		n.log.Warn().Strs("keys", restart).Msg("SIGHUP: restart the process to apply the changes of these keys")
	}
}

// problemsOf returns the text of each problem of a configuration, or the text of any other error.
func problemsOf(err error) []string {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return []string{err.Error()}
	}

	var texts []string
	for _, p := range problems {
		texts = append(texts, p.String())
	}

	return texts
}

// reconfigure reads the configuration and applies it to all parts, or to none. It returns what
// changed.
func (n *Node) reconfigure(ctx context.Context) ([]config.Change, error) {
	r := n.roles.Reload
	next, err := r.Read()
	if err != nil {
		return nil, err
	}
	if err := next.Validate(r.Parts); err != nil {
		return nil, err
	}

	changes := r.Loaded.Changes(next)
	loaded := r.Loaded.Reloaded(next)
	if err := loaded.Validate(r.Parts); err != nil { // the new values may conflict with those that need a restart
		return nil, err
	}
	if loaded.Pipeline.Reporting() && !r.Loaded.Pipeline.Reporting() {
		return nil, loaded.Problem("policy", "report = \"always\" needs a restart, because the process started without reports")
	}

	cfg := n.config().Reloaded(next)
	n.guard.Add(cfg.Guarded()) // before any part uses a new secret
	apply, err := n.prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}

	apply()
	r.Level(cfg.Log.Level)

	r.Loaded = loaded
	n.reloaded.Store(&cfg)
	n.member.SetConfig(fingerprint(cfg))

	return changes, nil
}

// prepare does the steps of a reload that can fail, and returns a function with the remaining
// steps. The worker is last, because it applies its configuration at once.
func (n *Node) prepare(ctx context.Context, cfg config.Config) (apply func(), err error) {
	if !n.roles.Sinks {
		return func() {}, n.reconfigureWorker(ctx, cfg)
	}

	apply, drop, err := n.sinks.prepare(cfg.Sink)
	if err != nil {
		return nil, err
	}

	if err := n.reconfigureWorker(ctx, cfg); err != nil {
		drop()
		return nil, err
	}

	return apply, nil
}

// reconfigureWorker applies a configuration to the worker, if there is one.
func (n *Node) reconfigureWorker(ctx context.Context, cfg config.Config) error {
	if n.worker == nil {
		return nil
	}

	workerConfig, err := WorkerConfig(cfg)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()

	return n.worker.Reconfigure(ctx, workerConfig)
}
