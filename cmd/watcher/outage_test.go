//go:build unix

package main

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// The server disappears while work is in progress, and returns. The processes keep running, report
// it, and continue by themselves.
func TestNATSVanishes(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	ns := testkit.StartNATS(t, &server.Options{StoreDir: store, SyncAlways: true})
	s := testkit.NewSite(t)
	s.WildFire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: 100 * time.Millisecond}})
	s.Configure(testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false})
	watcher, worker := s.Start("watcher"), s.Start("worker")
	watcher.Logged("ready")
	worker.Logged("ready")

	files := testkit.Mixed(150, rand.New(rand.NewPCG(1, 1)))
	port := ns.Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port()
	for i := range 3 {
		s.Drop(files[i*50 : (i+1)*50]...)
		s.Called(func() bool { return s.WildFire.Count(wildfire.OpSubmitFile) >= 10*(i+1) })
		testkit.StopNATS(ns)
		for _, p := range []*testkit.Process{watcher, worker} {
			p.Until("/readyz", func(status int, body string) bool {
				return status == 503 && strings.Contains(body, `"part":"nats","state":"failed"`)
			})
			if status, body := p.Ask("/healthz"); status != 200 {
				t.Errorf("it should stay up, but /healthz answers %d: %s", status, body)
			}
		}

		ns = testkit.StartNATS(t, &server.Options{StoreDir: store, Port: int(port), SyncAlways: true})
	}

	for _, p := range []*testkit.Process{watcher, worker} {
		p.Until("/readyz", func(status int, _ string) bool { return status == 200 })
	}

	testkit.OneEach(t, files, testkit.Finals(t, s.Connect(ns.ClientURL()), len(files)))
	s.OnceUploaded(files)
	s.NothingLeft(len(files))
	worker.Stop()
	watcher.Stop()
}

// Without a server the processes still stop when asked, even during uploads that they can no longer
// record. After a restart the finished uploads count.
func TestStopWithoutNATS(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	ns := testkit.StartNATS(t, &server.Options{StoreDir: store, SyncAlways: true})
	s := testkit.NewSite(t)
	end := s.WildFire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: 3 * time.Second}})
	settings := testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false, "worker.shutdown_timeout": "1s", "wildfire.ask_first": false}
	s.Configure(settings)
	watcher, worker := s.Start("watcher"), s.Start("worker")
	files := testkit.Mixed(20, rand.New(rand.NewPCG(2, 2)))
	s.Drop(files[:10]...)
	s.Called(func() bool { return s.WildFire.UploadCount(files[0].SHA256()) > 0 })
	testkit.StopNATS(ns)
	s.Drop(files[10:]...)
	for _, p := range []*testkit.Process{watcher, worker} {
		p.Until("/readyz", func(status int, _ string) bool { return status == 503 })
	}

	worker.Stop()
	watcher.Stop()
	if left := s.Left(); len(left) != len(files) {
		t.Errorf("left: %q, want %d files", left, len(files))
	}

	end()

	ns = testkit.StartNATS(t, &server.Options{StoreDir: store, SyncAlways: true})
	settings["nats.url"] = ns.ClientURL()
	s.Configure(settings)
	watcher, worker = s.Start("watcher"), s.Start("worker")
	watcher.Logged("ready")
	worker.Logged("ready")
	testkit.OneEach(t, files, testkit.Finals(t, s.Connect(ns.ClientURL()), len(files)))
	s.OnceUploaded(files)
	s.NothingLeft(len(files))
	worker.Stop()
	watcher.Stop()
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	testkit.NobodyAnswers(t, "watcher")
}
