//go:build linux

// Command memory measures the peak resident memory of `backburn run` (the embedded NATS server,
// watcher and worker in one process) while large files are uploaded concurrently.
//
// The measured process is a child that runs this program. The simulated WildFire runs in the
// parent, so it does not count.
//
//	go run ./bench/memory
//	go run ./bench/memory -files 16 -size 50000000
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/bench/internal/resident"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// childInput is the parent's input to the child.
type childInput struct {
	Dir, URL string
	Files    int
}

const childFlag = "-child"

func main() {
	files := flag.Int("files", 8, "files, all uploaded concurrently")
	size := flag.Int64("size", 100_000_000, "size of each file, in bytes")
	child := flag.Bool(childFlag[1:], false, "run as the measured process")
	flag.Parse()
	run := func() error { return measureChild(*files, *size) }
	if *child {
		run = runChild
	}

	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
}

func measureChild(files int, size int64) error {
	dir, err := os.MkdirTemp("", "backburn-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := makeFiles(filepath.Join(dir, "quarantine"), files, size); err != nil {
		return err
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}

	sim := wildfiretest.New(wildfiretest.WithDelay(0), wildfiretest.WithUnknownFor(0))
	h := sim.NewHTTPServer()
	gate := &uploadGate{next: sim, want: files, open: make(chan struct{})}
	h.Handler = gate
	go func() { _ = h.Serve(sim.Listener(l)) }()
	defer h.Close()

	self, err := os.Executable()
	if err != nil {
		return err
	}

	cmd := exec.Command(self, childFlag)
	told, err := json.Marshal(childInput{Dir: dir, URL: "http://" + l.Addr().String(), Files: files})
	if err != nil {
		return err
	}

	cmd.Stdin = strings.NewReader(string(told))
	cmd.Stdout = os.Stdout
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}

	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	idle := int64(0)
	busy := int64(0)
	began := time.Now()
	for {
		select {
		case err := <-done:
			if err != nil {
				return err
			}

			fmt.Printf("%d files of %d MB uploaded in %s\n", files, size/1e6, time.Since(began).Round(100*time.Millisecond))
			fmt.Printf("resident memory: %d MB before the first upload, %d MB at its peak\n", idle>>20, busy>>20)
			fmt.Printf("uploads accepted: %d, concurrent: %d\n", sim.Count(wildfire.OpSubmitFile), gate.most.Load())

			return nil
		case <-time.After(10 * time.Millisecond):
		}

		rss := resident.Bytes(cmd.Process.Pid)
		busy = max(busy, rss)
		if sim.TokenRequests() == 0 {
			idle = rss
		}
	}
}

// uploadGate holds uploads until the wanted number has begun, so that all are in progress at the
// same time.
type uploadGate struct {
	next      http.Handler
	want      int
	now, most atomic.Int64
	open      chan struct{}
}

func (g *uploadGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/submit/file") {
		g.next.ServeHTTP(w, r)
		return
	}

	n := g.now.Add(1)
	defer g.now.Add(-1)
	if n > g.most.Load() {
		g.most.Store(n)
	}
	if int(n) == g.want {
		close(g.open)
	}

	select {
	case <-g.open:
	case <-time.After(20 * time.Second):
	}

	g.next.ServeHTTP(w, r)
}

// makeFiles writes sparse files that differ in their first bytes.
func makeFiles(dir string, n int, size int64) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}

	for i := range n {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("large-%d.exe", i)))
		if err != nil {
			return err
		}

		_, werr := io.CopyN(f, rand.Reader, 64)
		if err := errors.Join(werr, f.Truncate(size), f.Close()); err != nil {
			return err
		}
	}

	return nil
}

// runChild runs everything in one process until each file has its final event.
func runChild() error {
	var o childInput
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		return err
	}

	cfg := config.Default()
	cfg.NATS.URL, cfg.NATS.Embedded.StoreDir = "nats://127.0.0.1:0", filepath.Join(o.Dir, "nats")
	cfg.HTTP.Listen = ""
	cfg.Watch[0].Path, cfg.Watch[0].Settle = filepath.Join(o.Dir, "quarantine"), 0
	cfg.Watch[0].MinFree = 0
	cfg.Pipeline.Concurrency = o.Files
	cfg.Pipeline.Rate = 1000
	cfg.Pipeline.Burst = 1000
	cfg.WildFire.Client.BaseURL = o.URL
	cfg.Pipeline.FirstPoll = time.Second
	cfg.Auth["wildfire"] = auth.Profile{
		Kind: auth.KindWildFire, ClientID: "bench@1.iam.panserviceaccount.com", ClientSecret: auth.NewSecret("secret"),
		TSGID: "1", TokenURL: o.URL + "/am/oauth2/access_token", Share: auth.ShareOff,
	}
	log := zerolog.New(os.Stderr).Level(zerolog.WarnLevel)
	server, err := natsd.Start(context.Background(), cfg, log)
	if err != nil {
		return err
	}
	defer server.Shutdown()
	cfg.NATS = server.NATS()
	n, err := app.Start(context.Background(), cfg, app.Roles{Watch: true, Work: true, NATS: server}, log)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	seen := 0
	err = results.NewSubscriber(n.Queue().JetStream(), results.SubscriberConfig{}).Run(ctx, func(_ context.Context, e results.Event) error {
		if e.Type == results.Failed {
			return fmt.Errorf("%s failed: %s", e.Data.Filename, e.Data.Error.Message)
		}
		if e.Type.Final() {
			seen++
		}
		if seen == o.Files {
			return results.ErrStop
		}

		return nil
	})
	cancel()

	return errors.Join(err, <-done)
}
