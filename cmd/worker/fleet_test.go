//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// Three workers share a watcher's jobs through a separate server. One worker is killed during an
// upload, and the others take over its jobs. The watcher is killed too, and restarted.
func TestFleetWithSomeKilled(t *testing.T) {
	t.Parallel()
	ns := testkit.StartNATS(t, &server.Options{})
	s := testkit.NewSite(t, wildfiretest.WithDelay(100*time.Millisecond))
	end := s.WildFire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: 300 * time.Millisecond}})
	s.Configure(testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false})
	watcher, first := s.Start("watcher"), s.Start("worker")
	second, third := s.Start("worker"), s.Start("worker")
	for _, p := range []*testkit.Process{watcher, first, second, third} {
		p.Logged("ready")
	}

	files := testkit.Mixed(150, rand.New(rand.NewPCG(1, 1)))
	s.Drop(files[:100]...)
	s.Called(func() bool { return s.WildFire.Count(wildfire.OpSubmitFile) >= 40 })
	first.Kill()
	end()
	s.Drop(files[100:]...)
	watcher.Kill()
	watcher = s.Start("watcher")

	testkit.OneEach(t, files, testkit.Finals(t, s.Connect(ns.ClientURL()), len(files)))
	s.OnceUploaded(files)
	s.NothingLeft(len(files))
	second.Stop()
	third.Stop()
	watcher.Stop()
}

// Contents are sent through JetStream if workers cannot access the watcher's file system.
func TestContentsTravel(t *testing.T) {
	t.Parallel()
	ns := testkit.StartNATS(t, &server.Options{})
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false, "watch.transfer": "object"})
	watcher := s.Start("watcher")
	watcher.Logged("ready")
	// The worker has no folder at all.
	s.Configure(testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false, "watch.path": s.Path("elsewhere")})
	worker := s.Start("worker")
	files := testkit.Mixed(60, rand.New(rand.NewPCG(2, 2)))
	s.Drop(files...)
	testkit.OneEach(t, files, testkit.Finals(t, s.Connect(ns.ClientURL()), len(files)))
	s.OnceUploaded(files)
	s.NothingLeft(len(files))
	worker.Stop()
	watcher.Stop()
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	testkit.NobodyAnswers(t, "worker")
}

func TestServerWithoutRoom(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	ns := testkit.StartNATS(t, &server.Options{JetStreamMaxStore: 3 << 30})
	s.Configure(testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false, "results.max_bytes": "10GiB"})
	testkit.Fails(t, s.Start("worker"), 4, "lower their max_bytes settings, or raise the server's max_file_store")
}

// The limits of [queue] are those of the streams, also of existing ones after a restart.
func TestLimitsOfTheQueue(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	ns := testkit.StartNATS(t, &server.Options{})
	js := s.Connect(ns.ClientURL())
	for i, limits := range []map[string]int64{
		{"BACKBURN_JOBS": 100 << 20, "BACKBURN_LEDGER": 200 << 20, "OBJ_backburn_files": 300 << 20},
		{"BACKBURN_JOBS": 400 << 20, "BACKBURN_LEDGER": 500 << 20, "OBJ_backburn_files": 64 << 20},
	} {
		bytes := func(stream string) string { return fmt.Sprintf("%dMiB", limits[stream]>>20) }
		s.Configure(testkit.Settings{
			"nats.url":               ns.ClientURL(),
			"nats.embedded.enabled":  false,
			"queue.jobs_max_bytes":   bytes("BACKBURN_JOBS"),
			"queue.ledger_max_bytes": bytes("BACKBURN_LEDGER"),
			"queue.files_max_bytes":  bytes("OBJ_backburn_files"),
			"queue.files_max_age":    fmt.Sprintf("%dd", i+3),
		})
		worker := s.Start("worker")
		worker.Logged("ready")
		for name, want := range limits {
			stream, err := js.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if got := stream.CachedInfo().Config.MaxBytes; got != want {
				t.Errorf("%s has %d MiB, want %d", name, got>>20, want>>20)
			}
			if age, want := stream.CachedInfo().Config.MaxAge, time.Duration(i+3)*24*time.Hour; name == "OBJ_backburn_files" && age != want {
				t.Errorf("contents are kept for %s, want %s", age, want)
			}
		}
		worker.Stop()
	}
}

// A worker that was frozen longer than its lease, while it held the claim of a file, does not
// upload the file when it continues: another worker has done that meanwhile.
func TestAFrozenWorkerLosesItsClaim(t *testing.T) {
	t.Parallel()
	ns := testkit.StartNATS(t, &server.Options{})
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{
		"nats.url":              ns.ClientURL(),
		"nats.embedded.enabled": false,
		"watch.claim":           "keep", // so the frozen worker can still read the file
		"wildfire.ask_first":    false,
	})
	available := s.WildFire.Inject(wildfiretest.Rule{Op: wildfiretest.OpToken, Fault: wildfiretest.Fault{Status: 503}})
	first := s.Start("worker")
	watcher := s.Start("watcher")
	files := testkit.Mixed(2, rand.New(rand.NewPCG(5, 5)))
	s.Drop(files[0])
	first.Logged("upload deferred; retrying") // it has claimed the file, and has no token

	first.Freeze()
	second := s.Start("worker")
	second.Logged("ready")
	available()
	js := s.Connect(ns.ClientURL())
	testkit.Finals(t, js, 1)
	second.Stop()

	first.Thaw()
	s.Drop(files[1])
	testkit.OneEach(t, files, testkit.Finals(t, js, len(files)))
	first.Stop()
	s.OnceUploaded(files)
	watcher.Stop()
}
