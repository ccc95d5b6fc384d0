//go:build unix

package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"backburn/internal/testkit"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// Three workers, two watchers of one folder and their NATS server are killed repeatedly while files
// arrive. No file is lost, gets two events, or is uploaded twice: after a worker died during an
// upload, the next worker asks WildFire first.
func TestFleetInAStormOfKills(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, wildfiretest.WithDelay(100*time.Millisecond))
	s.WildFire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: 200 * time.Millisecond}})
	args, url := testkit.NATSArgs(t, 1, s.Path("server"))
	s.Configure(testkit.Settings{"nats.url": url, "nats.embedded.enabled": false})
	c := testkit.Chaos{
		Site: s, Files: testkit.Mixed(300, rand.New(rand.NewPCG(3, 3))), NATS: url,
		Every: 500 * time.Millisecond, Storm: 20 * time.Second, Seed: 1,
		Members: []testkit.Member{
			{Role: "nats", Program: "nats", Args: args[0]},
			{Role: "watcher", Program: "watcher"},
			{Role: "watcher", Program: "watcher"},
			{Role: "worker", Program: "worker"},
			{Role: "worker", Program: "worker"},
			{Role: "worker", Program: "worker"},
		},
	}
	f := c.Run()
	t.Log(f)
	for _, role := range []string{"nats", "watcher", "worker"} {
		if f.Kills[role] == 0 {
			t.Errorf("no %s was killed", role)
		}
	}

	if f.Excess != 0 {
		t.Errorf("%d repeated uploads", f.Excess)
	}
}
