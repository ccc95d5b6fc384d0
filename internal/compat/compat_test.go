package compat_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/natsconn"
	"backburn/internal/testkit/leaks"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

const prefix = "backburn"

func topology() queue.Topology {
	return queue.Topology{
		Prefix:   prefix,
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 64 << 20},
		Queue:    queue.QueueLimits{JobsMaxBytes: 64 << 20, LedgerMaxBytes: 64 << 20, FilesMaxBytes: 64 << 20},
		Dead:     queue.DeadLimits{MaxBytes: 64 << 20},
	}
}

// TestServers processes a small file, a large one and one that WildFire refuses up to their final
// events, on the oldest supported version of the server, the newest, and one in between.
func TestServers(t *testing.T) {
	for _, line := range []string{"2.12", "2.14", "2.15"} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			endToEnd(t, natsconn.Config{URL: start(t, line)})
		})
	}
}

// endToEnd submits files and waits for their final events.
func endToEnd(t *testing.T, cfg natsconn.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	nc, err := natsconn.Connect(t.Context(), cfg, "test", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	made := topology()
	made.Domain = cfg.Domain
	q, err := queue.Open(ctx, nc, made)
	if err != nil {
		t.Fatal(err)
	}
	work(t, q)

	for name, tc := range map[string]struct {
		contents string
		want     string // verdict or reason
	}{
		"malware.exe":     {"MZ small malware", "malware"},
		"large.exe":       {"MZ" + strings.Repeat("large", 1<<19), "benign"}, // 2.5 MB: by the object bucket
		"unsupported.xyz": {"not a type that it takes", "unsupported_type"},
	} {
		id := strings.ReplaceAll(name, ".", "-")
		job := pipeline.Job{ID: id, Source: "mail", Priority: pipeline.Normal, Filename: name}
		file := queue.FromFile(int64(len(tc.contents)), func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(tc.contents)), nil
		})
		if _, err := q.Publisher().Submit(ctx, job, file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		event, err := q.Ledger().Await(ctx, job.Ref())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := event.Data.Verdict
		if event.Data.Error != nil {
			got = string(event.Data.Error.Reason)
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// work runs a worker against a simulated WildFire until the test ends.
func work(t *testing.T, q *queue.Queue) {
	t.Helper()
	sim := wildfiretest.New(wildfiretest.WithDelay(20*time.Millisecond), wildfiretest.WithUnknownFor(0)).Start()
	t.Cleanup(sim.Close)
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = sim.URL
	wf, err := wildfire.New(cfg, wildfire.StaticToken("token"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wf.Close)

	wcfg := pipeline.DefaultConfig()
	wcfg.Rate = 0
	wcfg.UploadsPerDay = 0
	wcfg.QueriesPerDay = 0
	wcfg.Lease = 3 * time.Second
	wcfg.FirstPoll, wcfg.MaxPoll = 50*time.Millisecond, 200*time.Millisecond
	w, err := worker.New(q, wcfg, wf, wf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
}

// TestOldServersAreRefused: an old server is refused before anything is created on it.
func TestOldServersAreRefused(t *testing.T) {
	for _, line := range []string{"2.10", "2.11"} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			nc, err := natsconn.Connect(t.Context(), natsconn.Config{URL: start(t, line)}, "test", zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			for name, open := range map[string]func() error{
				"a worker": func() error { _, err := queue.Open(t.Context(), nc, topology()); return err },
				"a watcher": func() error {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					_, err := queue.AttachOrOpen(ctx, nc, topology())
					return err
				},
			} {
				err := open()
				if err == nil {
					t.Fatalf("%s works", name)
				}
				for _, says := range []string{" " + line + ".", "2.12 or later", "atomic"} {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("%s: %q does not say %q", name, err, says)
					}
				}
			}

			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			for s := range js.ListStreams(t.Context()).Info() {
				t.Errorf("stream %s was made", s.Config.Name)
			}
		})
	}
}
