package app

import (
	"context"
	"fmt"
	"net/http"

	"backburn/internal/health"
	"backburn/pipeline/worker"
	"backburn/wildfire"
)

// startWorker creates the token source, the client and the worker.
func (n *Node) startWorker(ctx context.Context) error {
	wcfg, err := WorkerConfig(n.cfg)
	if err != nil {
		return err
	}

	ccfg := WildFireConfig(n.cfg)
	transport, err := wildfire.NewTransport(ccfg.Network)
	if err != nil {
		return fmt.Errorf("wildfire: %w", err)
	}

	profile := n.cfg.WildFire.Auth
	var mint http.RoundTripper = transport
	if !n.cfg.Auth[profile].Kind.FormField() { // there is a token service
		mint = n.reach(transport, health.Service{
			Part: n.health.UnknownPart("token_service", profile),
			Name: "the token service",
			Key:  "auth." + profile + ".token_url",
		})
	}

	if n.tokens, err = Tokens(ctx, n.cfg, profile, n.queue, mint, n.log, n.reg); err != nil {
		return err
	}

	n.health.Func("token", profile, func() error { return tokenFault(n.tokens.Status()) })
	n.undo = append(n.undo, func() { _ = n.tokens.Close() })
	ccfg.Transport = n.reach(transport, health.Service{
		Part: n.health.UnknownPart("wildfire", ""),
		Name: "WildFire",
		Key:  "wildfire.url",
		URL:  ccfg.BaseURL,
	})
	if n.client, err = wildfire.New(ccfg, n.tokens); err != nil {
		return fmt.Errorf("wildfire.%w", err)
	}

	n.undo = append(n.undo, n.client.Close)
	n.worker, err = worker.New(n.queue, wcfg, n.client, n.client,
		worker.WithLogger(n.log.With().Str("component", "worker").Logger()), worker.WithMetrics(n.reg),
		worker.WithTracing(n.traces), worker.WithTokens(n.tokens), worker.WithGuard(n.guard), worker.WithReports(n.client),
		worker.WithHealth(n.health), worker.WithProcess(n.describe()))

	return err
}

// reach reports to the health registry whether a service is reachable, based on the calls through a
// transport.
func (n *Node) reach(t http.RoundTripper, s health.Service) *health.Transport {
	r := health.NewTransport(t, s)
	n.looking = append(n.looking, r)

	return r
}
