//go:build unix

package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/e2e"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// Three workers share what a watcher hands in, through a server that belongs to none of them.
// One is killed while it uploads: the others take its work over. So is the watcher, which is
// started again.
func TestFleetWithSomeKilled(t *testing.T) {
	t.Parallel()
	ns := e2e.StartNATS(t, &server.Options{})
	s := e2e.NewSite(t, wildfiretest.WithDelay(100*time.Millisecond))
	end := s.WildFire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: 300 * time.Millisecond}})
	s.Configure(e2e.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false})
	watcher, first := s.Start("watcher"), s.Start("worker")
	second, third := s.Start("worker"), s.Start("worker")
	for _, p := range []*e2e.Process{watcher, first, second, third} {
		p.Logged("ready")
	}
	files := e2e.Mixed(150, rand.New(rand.NewPCG(1, 1)))
	s.Drop(files[:100]...)
	s.Called(func() bool { return s.WildFire.Count(wildfire.OpSubmitFile) >= 40 })
	first.Kill()
	end()
	s.Drop(files[100:]...)
	watcher.Kill()
	watcher = s.Start("watcher")

	e2e.OneEach(t, files, e2e.Finals(t, s.Connect(ns.ClientURL()), len(files)))
	s.OnceUploaded(files)
	s.NothingLeft(len(files))
	second.Stop()
	third.Stop()
	watcher.Stop()
}

// Contents travel through JetStream where workers do not share the watcher's file system.
func TestContentsTravel(t *testing.T) {
	t.Parallel()
	ns := e2e.StartNATS(t, &server.Options{})
	s := e2e.NewSite(t)
	s.Configure(e2e.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false, "watch.transfer": "object"})
	watcher := s.Start("watcher")
	watcher.Logged("ready")
	// The worker knows of no folder at all.
	s.Configure(e2e.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false, "watch.path": s.Path("elsewhere")})
	worker := s.Start("worker")
	files := e2e.Mixed(60, rand.New(rand.NewPCG(2, 2)))
	s.Drop(files...)
	e2e.OneEach(t, files, e2e.Finals(t, s.Connect(ns.ClientURL()), len(files)))
	s.OnceUploaded(files)
	s.NothingLeft(len(files))
	worker.Stop()
	watcher.Stop()
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	e2e.NobodyAnswers(t, "worker")
}

func TestServerWithoutRoom(t *testing.T) {
	t.Parallel()
	s := e2e.NewSite(t)
	ns := e2e.StartNATS(t, &server.Options{JetStreamMaxStore: 3 << 30})
	s.Configure(e2e.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false, "results.max_bytes": "10GiB"})
	e2e.Fails(t, s.Start("worker"), 4, "lower results.max_bytes, or let the NATS server store more")
}
