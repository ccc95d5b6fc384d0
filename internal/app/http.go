package app

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"backburn/internal/admin"
	"backburn/internal/history"
	"backburn/internal/ui"
	"backburn/pipeline/queue"
)

// startHTTP opens the listener for health, metrics, status and the dashboard.
func (n *Node) startHTTP() error {
	page, err := n.newDashboard()
	if err != nil {
		return err
	}

	h, err := admin.New(n.cfg.HTTP, admin.Deps{
		Parts:    n.health.Parts,
		Registry: n.reg,
		Status:   func(ctx context.Context) (any, error) { return n.Status(ctx), nil },
		Page:     page,
		Log:      n.log.With().Str("component", "http").Logger(),
	})
	if err != nil {
		return err
	}

	n.http = h
	n.undo = append(n.undo, h.Close)
	n.log.Info().Str("addr", h.Addr().String()).Msg("serving health, metrics and status")

	return nil
}

// newDashboard returns the handler of the dashboard and its API.
func (n *Node) newDashboard() (http.Handler, error) {
	n.history = history.NewLog(n.queue, history.DefaultLimits(), n.log.With().Str("component", "dashboard").Logger())

	cfg := ui.Config{
		History: n.history,
		Trace: func(ctx context.Context, q queue.TraceQuery) (queue.Trace, error) {
			if n.queue.Ledger().NoRead {
				return queue.Trace{}, errors.New("a watcher may not read the ledger; use the dashboard of a worker, or run `backburn trace JOB` with a worker's permissions")
			}

			return n.queue.Trace(ctx, q)
		},
		Portal: portal(n.cfg.WildFire.Client.BaseURL),
		Log:    n.log.With().Str("component", "dashboard").Logger(),
	}
	if n.worker != nil {
		replay, err := ReplayOptions(n.cfg)
		if err != nil {
			return nil, err
		}

		cfg.User = n.cfg.HTTP.User
		cfg.Actions = func(by, from string) ui.Actions { return n.actionsFor(by, from, replay) }
	}

	return ui.New(cfg), nil
}

// portal returns the URL of WildFire's portal for the configured cloud, or "" if it is unknown.
func portal(base string) string {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || !strings.HasSuffix(u.Hostname(), ".wildfire.paloaltonetworks.com") && u.Hostname() != "wildfire.paloaltonetworks.com" {
		return ""
	}

	return "https://" + u.Hostname() + "/"
}

// HTTPAddr returns the address of the HTTP listener, which must be on.
func (n *Node) HTTPAddr() string { return n.http.Addr().String() }
