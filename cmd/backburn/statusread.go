package main

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/httpserver"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
)

// statusReader reads the state of the fleet from NATS, and that of the local process from its
// listener.
type statusReader struct {
	tool *cli.App
	cfg  config.Config
	wcfg pipeline.Config

	queue   *queue.Queue // nil until attached
	release func()       // of queue; the caller calls it
}

// read returns the state as far as it is known, and an error if it is incomplete.
func (l *statusReader) read(ctx context.Context) (app.Status, error) {
	localCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	local := make(chan *app.Status, 1)
	go func() { local <- readLocal(localCtx, l.cfg.HTTP.Config) }()
	own := app.NewStatus()
	fleet, err := l.fleet(ctx)
	if err == nil {
		own.Status = &fleet
	}
	defer time.AfterFunc(localTimeout, cancel).Stop()

	localStatus := <-local
	if localStatus == nil || isOfOtherFleet(*localStatus, own, l.cfg.Simulated()) {
		return own, err
	}

	st := *localStatus
	st.Time = own.Time
	st.Status = own.Status
	st.Away = nil
	switch {
	case err != nil:
		st.Away = cmp.Or(localStatus.Away, &app.Away{Since: st.Time, Reason: err.Error()})
		return st, cli.Exit(cli.Unreachable, err)
	case st.Token != nil && localStatus.Status != nil: // the limits of a running worker apply, not those of our configuration
		st.Uploads = localStatus.Uploads
		st.Queries = localStatus.Queries
	}

	return st, nil
}

// isOfOtherFleet reports whether the process on this machine belongs to another fleet than the one
// that was asked about, such as a simulation.
func isOfOtherFleet(local, own app.Status, simulated bool) bool {
	if local.Status != nil && local.Simulated != simulated {
		return true
	}

	return own.Status != nil && local.ID != "" &&
		!slices.ContainsFunc(own.Members, func(m fleet.Member) bool { return m.ID == local.ID })
}

func (l *statusReader) fleet(ctx context.Context) (queue.Status, error) {
	if l.queue == nil {
		q, release, err := attach(ctx, l.tool, l.cfg, "status")
		if err != nil {
			return queue.Status{}, err
		}

		l.queue = q
		l.release = release
	}

	return l.queue.Status(ctx, l.wcfg)
}

// localTimeout limits the wait for the process on this machine once the state of the fleet is known
// or cannot be read. If NATS hangs, the process waits for it, too, before it answers.
const localTimeout = 5 * time.Second

// readLocal asks the process on this machine. It returns nil if there is none, or if it requires a
// password.
func readLocal(ctx context.Context, at httpserver.Config) *app.Status {
	client, url, err := at.LocalClient()
	if err != nil {
		return nil
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/status", nil)
	if err != nil {
		return nil
	}

	res, err := client.Do(req)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	var st app.Status
	if res.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(res.Body, 8<<20)).Decode(&st) != nil {
		return nil
	}

	return &st
}
