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
	workerConfig, err := WorkerConfig(n.cfg)
	if err != nil {
		return err
	}

	clientConfig := WildFireConfig(n.cfg)
	transport, err := wildfire.NewTransport(clientConfig.Network)
	if err != nil {
		return fmt.Errorf("wildfire: %w", err)
	}

	profile := n.cfg.WildFire.Auth
	var tokenTransport http.RoundTripper = transport
	if !n.cfg.Auth[profile].Kind.FormField() { // there is a token service
		tokenTransport = n.monitor(transport, health.Service{
			Part: n.health.UnknownPart("token_service", profile),
			Name: "the token service",
			Key:  "auth." + profile + ".token_url",
		})
	}

	if n.tokens, err = NewTokenSource(ctx, n.cfg, profile, n.queue, tokenTransport, n.log, n.reg); err != nil {
		return err
	}

	n.health.Func("token", profile, func() error { return tokenFault(n.tokens.Status()) })
	n.undo = append(n.undo, func() { _ = n.tokens.Close() })
	clientConfig.Transport = n.monitor(transport, health.Service{
		Part: n.health.UnknownPart("wildfire", ""),
		Name: "WildFire",
		Key:  "wildfire.url",
		URL:  clientConfig.BaseURL,
	})
	if n.client, err = wildfire.New(clientConfig, n.tokens); err != nil {
		return fmt.Errorf("wildfire.%w", err)
	}

	n.undo = append(n.undo, n.client.Close)
	n.worker, err = worker.New(n.queue, workerConfig, n.client, n.client,
		worker.WithLogger(n.log.With().Str("component", "worker").Logger()), worker.WithMetrics(n.reg),
		worker.WithTracing(n.traces), worker.WithTokens(n.tokens), worker.WithGuard(n.guard), worker.WithReports(n.client),
		worker.WithHealth(n.health), worker.WithProcess(n.fleetProcess()))

	return err
}

// monitor returns a transport that makes its calls with t, and reports to the health registry
// whether the service is reachable.
func (n *Node) monitor(t http.RoundTripper, s health.Service) *health.Transport {
	monitored := health.NewTransport(t, s)
	n.services = append(n.services, monitored)

	return monitored
}
