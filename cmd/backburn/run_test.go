//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"backburn/internal/testkit"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestEveryFileBecomesOneFinalEvent(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t, wildfiretest.WithDelay(100*time.Millisecond))
	files := testkit.Mixed(200, rand.New(rand.NewPCG(1, 1)))
	p := s.Start("backburn", "run")
	s.Drop(files...)

	testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
	s.OnceUploaded(files)
	s.NothingLeft(len(files))
	p.Stop()
}

// A process that is killed at any moment continues from there. The moments are counted in calls of
// WildFire plus some milliseconds, so that they occur everywhere: at the start, between claims,
// during uploads, between verdicts.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	for name, askFirst := range map[string]bool{"asks first": true, "asks only where it is not sure": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewSite(t, wildfiretest.WithDelay(300*time.Millisecond), wildfiretest.WithLatency(10*time.Millisecond))
			s.Configure(testkit.Settings{"wildfire.ask_first": askFirst})
			slowUploads(s, 150*time.Millisecond) // most of the time some uploads are in progress
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			killRepeatedly(t, s, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func killRepeatedly(t *testing.T, s *testkit.Site, rnd *rand.Rand) {
	const lives, perLife = 7, 24
	files := testkit.Mixed(lives*perLife, rnd)
	var dropping sync.WaitGroup
	defer dropping.Wait()
	p := s.Start("backburn", "run")
	p.Logged("ready")
	for life := range lives {
		dropping.Go(func() { s.Drop(files[life*perLife : (life+1)*perLife]...) })
		calls := s.WildFire.Count("") + rnd.IntN(2*perLife)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // there may be no more calls
		_ = s.WildFire.Wait(ctx, func() bool { return s.WildFire.Count("") >= calls })
		cancel()
		time.Sleep(time.Duration(rnd.IntN(30)) * time.Millisecond) // this is the moment, not a wait
		p.Kill()
		p = s.Start("backburn", "run")
	}

	dropping.Wait()
	testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
	s.OnceUploaded(files)
	s.NothingLeft(len(files))
	p.Stop()
	if s.WildFire.CountStatus(wildfire.OpSubmitFile, 0) == 0 {
		t.Log("no kill hit an upload this time")
	}
}

// slowUploads makes the service delay the answer to every upload.
func slowUploads(s *testkit.Site, d time.Duration) (end func()) {
	return s.WildFire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: d}})
}

// waitForUploads waits until WildFire has the contents of all files, and does not answer.
func waitForUploads(t *testing.T, s *testkit.Site, files []testkit.File) {
	t.Helper()
	for _, f := range files { // the server's own Wait notices a call only after its answer
		s.Until("the upload of "+f.Name, func() bool { return s.WildFire.UploadCount(f.SHA256()) > 0 })
	}
}

func TestStopInTheMiddleOfUploads(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		takes, timeout time.Duration
		returns        bool // jobs to the queue
	}{
		"finished in time": {2 * time.Second, 30 * time.Second, false},
		"time is up":       {time.Minute, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewSite(t)
			// Without a query before the upload, only the record of the claim prevents a second
			// upload.
			s.Configure(testkit.Settings{"worker.shutdown_timeout": tc.timeout.String(), "wildfire.ask_first": false})
			files := testkit.Mixed(8, rand.New(rand.NewPCG(2, 2)))
			end := slowUploads(s, tc.takes)
			p := s.Start("backburn", "run")
			s.Drop(files...)
			waitForUploads(t, s, files)
			p.Stop()
			if cause := p.Logged("stopping: finishing jobs in progress, or returning them to the queue").Text("cause"); cause != "ended by signal: terminated" {
				t.Errorf("it stops because of %q", cause)
			}

			p.Logged("stopped")
			if _, err := p.WasLogged("shutdown timeout reached; returning jobs to the queue"); (err == nil) != tc.returns {
				t.Errorf("returned to the queue: %v, want %v", err == nil, tc.returns)
			}

			end()

			p = s.Start("backburn", "run")
			testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
			s.OnceUploaded(files)
			p.Stop()
		})
	}
}

func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	files := testkit.Mixed(2, rand.New(rand.NewPCG(10, 10)))
	s.Drop(files...)
	p := s.Start("backburn", "run")
	p.NATS()
	p.Stop()
	p = s.Start("backburn", "run")
	testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
	s.OnceUploaded(files)
	p.Stop()
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"worker.shutdown_timeout": "1h"})
	files := testkit.Mixed(2, rand.New(rand.NewPCG(3, 3)))
	end := slowUploads(s, time.Hour)
	p := s.Start("backburn", "run")
	s.Drop(files...)
	waitForUploads(t, s, files)
	p.Signal(syscall.SIGTERM)
	p.Logged("finishing jobs in progress")
	p.Stop()
	end()

	p = s.Start("backburn", "run")
	testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
	s.OnceUploaded(files)
	p.Stop()
}
