package config

import (
	"maps"
	"path/filepath"
	"slices"
	"time"

	"backburn/auth"
	"backburn/internal/sink"
	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// simulated is the suffix of the NATS prefix and of the store folder of a simulation.
const simulated = "-simulated"

// The profile of a simulation, and the URL of WildFire until UseSimulator sets it.
const (
	simulatedProfile = "simulated"
	simulatedURL     = "http://127.0.0.1"
)

// The poll intervals of a simulation, which gives verdicts within seconds.
const (
	simulatedFirstPoll = 2 * time.Second
	simulatedMaxPoll   = 3 * time.Second
)

// Simulated reports whether WildFire is simulated.
func (c Config) Simulated() bool { return c.Pipeline.Simulated }

// Simulate changes the configuration to that of a simulation. It is the only place that defines the
// differences from a real run:
//
//   - Shared state has a separate prefix and store, and watchers keep their state there, so a real
//     run finds none of it.
//   - WildFire's URL and the profile are those of the simulator, which gives verdicts within
//     seconds. No configured credential is used. The default daily limits do not apply.
//   - Files are not moved or deleted, whatever [watch.after] says.
//   - No events go to sinks, and no traces to a collector. Mail servers and clamd clients are not
//     served, because their protocols cannot mark an answer as simulated.
//
// The HTTP API is served, because its answers carry the mark of a simulation.
func (c *Config) Simulate() error {
	prefix := c.NATS.Prefix + simulated
	if pipeline.ValidSource(c.NATS.Prefix) && !pipeline.ValidSource(prefix) {
		return c.Problem("nats.prefix", "expected fewer characters: a simulation works under %q, and a prefix has at most 32", prefix)
	}

	dir := filepath.Clean(c.NATS.Embedded.StoreDir) + simulated
	c.NATS.Prefix = prefix
	c.NATS.Embedded.StoreDir = filepath.Join(dir, "nats")

	c.Watch = slices.Clone(c.Watch)
	for i := range c.Watch {
		w := &c.Watch[i]
		w.Claim = watch.ClaimKeep
		w.StateDir = filepath.Join(dir, "watch")
		w.After = watch.DefaultConfig().After
	}

	c.Sink = []sink.Config{}
	c.Tracing.Endpoint = ""
	c.Clamd.Listen = ""
	c.Mail.Listen = ""
	c.UseSimulator(simulatedURL, auth.Profile{Name: simulatedProfile, Kind: auth.KindWildFire, Share: auth.ShareOff})
	c.Pipeline.Simulated = true

	p := &c.Pipeline
	p.FirstPoll = min(p.FirstPoll, simulatedFirstPoll)
	p.MaxPoll = min(p.MaxPoll, simulatedMaxPoll)
	if defaults := pipeline.DefaultConfig(); p.UploadsPerDay == defaults.UploadsPerDay && p.QueriesPerDay == defaults.QueriesPerDay {
		p.UploadsPerDay = 0
		p.QueriesPerDay = 0
	}

	return nil
}

// UseSimulator makes the configuration use a simulated WildFire at a URL, which accepts only the
// profile's client.
func (c *Config) UseSimulator(url string, client auth.Profile) {
	w := &c.WildFire.Client
	w.BaseURL = url
	w.Agent = ""
	w.Network.CAFile = ""

	client.Name = simulatedProfile
	c.WildFire.Auth = client.Name
	c.Auth = maps.Clone(c.Auth)
	c.Auth[client.Name] = client
}
