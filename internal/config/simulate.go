package config

import (
	"maps"
	"path/filepath"
	"slices"
	"time"

	"backburn/auth"
	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// simulated ends the names of what a simulation has for itself.
const simulated = "-simulated"

// The profile of a simulation, and its address until UseSimulator knows another.
const (
	simulatedProfile = "simulated"
	simulatedURL     = "http://127.0.0.1"
)

// The schedule of a simulation, whose verdicts come within seconds.
const (
	simulatedFirstPoll = 2 * time.Second
	simulatedMaxPoll   = 3 * time.Second
)

// Simulated reports whether WildFire is simulated.
func (c Config) Simulated() bool { return c.Pipeline.Simulated }

// Simulate makes the configuration that of a simulation beside the real thing. It is the one place that
// says what the two share:
//
//   - What is known, and all that processes agree on, has a prefix and a store of its own, and watchers keep
//     their state there: a real start finds none of it.
//   - WildFire's address, its profile and its daily limits are those of the simulator, which judges within
//     seconds. No credential of the configuration is used.
//   - Files stay where they are, whatever after says: no verdict of a simulation moves or deletes one.
//   - Events go to no sink and no trace to a collector, mail servers and clients of clamd are not answered:
//     none of these could tell that nobody looked at the contents.
//
// The HTTP API is served: what it tells carries the mark of a simulation.
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

	c.Sink = []Sink{}
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

// UseSimulator points the configuration to a simulated WildFire at a URL, which knows the client of the
// profile alone.
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
