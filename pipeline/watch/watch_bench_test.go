package watch_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// createFiles creates n files and waits until they are on the disk.
func createFiles(b testing.TB, dir string, n, size int) {
	b.Helper()
	content := make([]byte, size)
	for i := range n {
		copy(content, fmt.Sprint(i))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("sample-%07d.bin", i)), content, 0o666); err != nil {
			b.Fatal(err)
		}
	}
	syncDisk()
}

// countingIntake is an Intake that reports when n jobs have arrived.
type countingIntake struct {
	watch.Intake
	left atomic.Int64
	done chan struct{}
}

func (c *countingIntake) Publish(ctx context.Context, job pipeline.Job) error {
	if err := c.Intake.Publish(ctx, job); err != nil {
		return err
	}
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
	return nil
}

// BenchmarkClaimHashPublish compares the watcher with a minimal loop that does the same work:
// rename, open, read, SHA-256, publish without waiting. The metric "ratio" is the watcher's speed
// relative to that loop. Run with -benchtime=20000x.
func BenchmarkClaimHashPublish(b *testing.B) {
	const size = 10 << 10
	js, stream := startJetStream(b)
	manual := func() time.Duration {
		dir, out := b.TempDir(), b.TempDir()
		createFiles(b, dir, b.N, size)
		began := time.Now()
		names := make(chan string, 1024)
		var wg sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				buf := make([]byte, 256<<10)
				for name := range names {
					to := filepath.Join(out, name)
					if err := os.Rename(filepath.Join(dir, name), to); err != nil {
						b.Error(err)
					}
					f, err := os.Open(to)
					if err != nil {
						b.Error(err)
						continue
					}
					h := sha256.New()
					io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, buf)
					f.Close()
					body, _ := json.Marshal(pipeline.Job{
						Version: 1, Kind: pipeline.KindFile, Filename: name, Path: name,
						Size: size, SHA256: hex.EncodeToString(h.Sum(nil)), Content: &pipeline.Content{Path: to},
					})
					_, err = js.PublishMsgAsync(&nats.Msg{
						Subject: "t.jobs.normal.test", Data: body,
						Header: nats.Header{jetstream.MsgIDHeader: {nats.NewInbox()}},
					})
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		d, err := os.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		for {
			entries, err := d.ReadDir(512)
			for _, e := range entries {
				names <- e.Name()
			}
			if errors.Is(err, io.EOF) {
				break
			}
		}
		close(names)
		wg.Wait()
		<-js.PublishAsyncComplete()
		return time.Since(began)
	}
	byWatcher := func() time.Duration {
		r := newRig(b, func(c *watch.Config) { c.MaxInFlight, c.Scan = b.N+1, time.Minute; c.Settle = time.Millisecond })
		createFiles(b, r.dir, b.N, size)
		intake := &countingIntake{Intake: jetIntake{js}, done: make(chan struct{})}
		intake.left.Store(int64(b.N))
		w, err := watch.New(r.cfg, intake, r.outcomes, nil)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		began := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		<-intake.done
		took := time.Since(began)
		cancel()
		<-ended
		return took
	}
	purge := func() {
		if err := stream.Purge(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	// Alternate the two and use the median, because other work on the disk disturbs both.
	const rounds = 3
	var limits, tooks []time.Duration
	b.ResetTimer()
	for range rounds {
		limits = append(limits, manual())
		purge()
		tooks = append(tooks, byWatcher())
		purge()
	}
	slices.Sort(limits)
	slices.Sort(tooks)
	limit, took := limits[rounds/2], tooks[rounds/2]
	b.ReportMetric(float64(b.N)/limit.Seconds(), "limit/s")
	b.ReportMetric(float64(b.N)/took.Seconds(), "files/s")
	b.ReportMetric(limit.Seconds()/took.Seconds(), "ratio")
}

// BenchmarkBareScan compares a scan of 100,000 entries with merely reading the folder in batches.
func BenchmarkBareScan(b *testing.B) {
	dir := b.TempDir()
	const n = 100_000
	for i := range n {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("sample-%07d.bin", i)))
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	readDir := func() (seen int) {
		d, err := os.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		for {
			entries, err := d.ReadDir(1024)
			seen += len(entries)
			if errors.Is(err, io.EOF) {
				return seen
			}
		}
	}
	scan := watch.BareScan(b, dir)
	if got := scan(); got != n {
		b.Fatalf("scan saw %d entries", got)
	}
	var limit, took time.Duration
	for b.Loop() {
		began := time.Now()
		readDir()
		limit += time.Since(began)
		began = time.Now()
		scan()
		took += time.Since(began)
	}
	b.ReportMetric(n*float64(b.N)/limit.Seconds(), "limit/s")
	b.ReportMetric(n*float64(b.N)/took.Seconds(), "entries/s")
	b.ReportMetric(limit.Seconds()/took.Seconds(), "ratio")
}

// BenchmarkDetection renames 1,000 files per second into the folder. It measures how long after the
// settle time each was claimed, and published. Run with -benchtime=5000x.
func BenchmarkDetection(b *testing.B) {
	const settle = 200 * time.Millisecond
	r := newRig(b, func(c *watch.Config) {
		c.Settle = settle
		c.Scan = 10 * time.Second
		c.MaxInFlight = b.N + 1
	})
	staging := b.TempDir()
	createFiles(b, staging, b.N, 10<<10)
	var mu sync.Mutex
	published := make(map[string]time.Time, b.N)
	claimed := make(map[string]time.Time, b.N)
	intake := &countingIntake{done: make(chan struct{}), Intake: intakeFunc(func(_ context.Context, job pipeline.Job) error {
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		published[job.Filename], claimed[job.Filename] = now, job.ReceivedAt
		return nil
	})}
	intake.left.Store(int64(b.N))
	w, err := watch.New(r.cfg, intake, r.outcomes, nil)
	if err != nil {
		b.Fatal(err)
	}
	scanned := make(chan struct{}, 1000)
	w.SetOnScan(func() { scanned <- struct{}{} })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	<-scanned
	b.ResetTimer()
	moved := make([]time.Time, b.N)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range b.N {
		<-tick.C
		name := fmt.Sprintf("sample-%07d.bin", i)
		if err := os.Rename(filepath.Join(staging, name), r.path(name)); err != nil {
			b.Fatal(err)
		}
		moved[i] = time.Now()
	}
	<-intake.done
	b.StopTimer()
	cancel()
	<-ended
	report := func(what string, at map[string]time.Time) {
		late := make([]float64, b.N)
		for i := range late {
			late[i] = float64(at[fmt.Sprintf("sample-%07d.bin", i)].Sub(moved[i])-settle) / 1e6
		}
		slices.Sort(late)
		b.ReportMetric(late[len(late)/2], what+"-p50-ms")
		b.ReportMetric(late[len(late)*99/100], what+"-p99-ms")
	}
	report("claim", claimed)
	report("publish", published)
}

// intakeFunc is an Intake that consists of one function.
type intakeFunc func(context.Context, pipeline.Job) error

func (f intakeFunc) Publish(ctx context.Context, job pipeline.Job) error { return f(ctx, job) }
