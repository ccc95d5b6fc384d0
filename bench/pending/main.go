//go:build linux

// Command pending measures the poller with many jobs that wait for WildFire: the resident memory of
// the leader, and how long another process takes to become the leader after the first is killed.
//
// This program fills the ledger, and runs NATS and the simulated WildFire. The measured workers are
// two child processes that run this program.
//
//	go run ./bench/pending
//	go run ./bench/pending -n 100000
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"backburn/auth"
	"backburn/bench/internal/resident"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/testkit"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire/wildfiretest"
)

func main() {
	n := flag.Int("n", 1_000_000, "jobs that wait")
	nats := flag.String("nats", "", "run as a worker of the NATS server at this URL")
	url := flag.String("wildfire", "", "URL of WildFire for that worker")
	flag.Parse()

	if *nats != "" {
		if err := runWorker(*nats, *url); err != nil {
			fmt.Fprintln(os.Stderr, "pending:", err)
			os.Exit(1)
		}

		return
	}

	if !testkit.Alone(context.Background(), os.Stdout, func(t testing.TB) {
		if err := run(t, *n); err != nil {
			t.Fatal("pending:", err)
		}
	}) {
		os.Exit(1)
	}
}

func topology() queue.Topology {
	return queue.Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    pipeline.DefaultConfig().Lease,
		Results:  queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 8 << 30},
	}
}

// runWorker runs a worker, as its binary does, until it is killed.
func runWorker(url, wildFire string) error {
	cfg := config.Default()
	cfg.NATS.URL = url
	cfg.NATS.Embedded.Enabled = false
	cfg.HTTP.Listen = ""
	cfg.WildFire.Client.BaseURL = wildFire
	cfg.Auth["wildfire"] = auth.Profile{
		Kind:         auth.KindWildFire,
		ClientID:     clientID,
		ClientSecret: auth.NewSecret(clientSecret),
		TSGID:        tsgID,
		TokenURL:     wildFire + "/am/oauth2/access_token",
		Share:        auth.ShareOff,
	}

	ctx, log := context.Background(), zerolog.New(os.Stderr).Level(zerolog.WarnLevel)
	n, err := app.Start(ctx, cfg, app.Roles{Work: true}, log)
	if err != nil {
		return err
	}

	return n.Run(ctx)
}

// The account at the simulated WildFire.
const (
	clientID     = "bench@1.iam.panserviceaccount.com"
	clientSecret = "secret"
	tsgID        = "1"
)

func run(t testing.TB, n int) error {
	url := testkit.StartNATS(t, &server.Options{}).ClientURL()
	web := wildfiretest.New(wildfiretest.WithDelay(24*time.Hour), wildfiretest.WithUnknownFor(0),
		wildfiretest.WithClient(clientID, clientSecret, tsgID)).Start()
	t.Cleanup(web.Close)
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}

	t.Cleanup(nc.Close)
	q, err := queue.Open(context.Background(), nc, topology())
	if err != nil {
		return err
	}

	began := time.Now()
	if err := fill(q, n); err != nil {
		return err
	}

	fmt.Printf("%d jobs wait; filling the ledger took %s\n", n, time.Since(began).Round(time.Second))

	return measure(n, nc, q, url, web.URL)
}

// fill writes waiting jobs that were uploaded a moment ago.
func fill(q *queue.Queue, n int) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(context.Background())
	for range 256 {
		g.Go(func() error {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := addWaitingJob(ctx, q, int(i)); err != nil {
					return err
				}
			}

			return nil
		})
	}

	return g.Wait()
}

func addWaitingJob(ctx context.Context, q *queue.Queue, i int) error {
	sum := sha256.Sum256([]byte(strconv.Itoa(i)))
	key := hex.EncodeToString(sum[:])
	now := time.Now().UTC()
	m := &queue.Message{AcceptedAt: now}
	m.Job = pipeline.Job{
		ID:         fmt.Sprintf("01K9%022d", i),
		Source:     "quarantine",
		Priority:   pipeline.Normal,
		Version:    1,
		Kind:       pipeline.KindFile,
		Filename:   fmt.Sprintf("invoice-%d.exe", i),
		ReceivedAt: now,
	}
	m.Job.SetVerified(key, 10_240)

	return q.Ledger().Commit(ctx,
		q.Ledger().SampleUpdate(queue.SampleEntry{Key: key, Sample: pipeline.Sample{
			State:       pipeline.StatePending,
			ChangedAt:   now,
			Size:        10_240,
			SubmittedAt: now,
		}}),
		q.Ledger().WaitingUpdate(m, queue.Waiting{Sample: key, Basis: results.BasisUpload, Pending: now}, 0))
}

func measure(n int, nc *nats.Conn, q *queue.Queue, server, wildFire string) error {
	first, err := startWorkerProcess(server, wildFire)
	if err != nil {
		return err
	}
	defer first.kill()
	began := time.Now()
	if err := waitForLeader(nc, q, n); err != nil {
		return err
	}

	fmt.Printf("a leader has read all of them after %s, with %d MB resident\n", time.Since(began).Round(100*time.Millisecond), resident.Bytes(first.cmd.Process.Pid)>>20)

	second, err := startWorkerProcess(server, wildFire)
	if err != nil {
		return err
	}
	defer second.kill()
	time.Sleep(10 * time.Second) // the second worker joins, and the first one continues
	fmt.Printf("ten seconds later: the leader has %d MB resident, the other worker %d MB\n", resident.Bytes(first.cmd.Process.Pid)>>20, resident.Bytes(second.cmd.Process.Pid)>>20)

	first.kill()
	began = time.Now()
	if err := waitForLeader(nc, q, n); err != nil {
		return err
	}

	fmt.Printf("after a kill, another leader has read all of them after %s, with %d MB resident\n", time.Since(began).Round(100*time.Millisecond), resident.Bytes(second.cmd.Process.Pid)>>20)

	return nil
}

// waitForLeader waits until a leader reports n waiting jobs.
func waitForLeader(nc *nats.Conn, q *queue.Queue, n int) error {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		m, err := nc.Request(q.WaitingSubject(), nil, time.Second)
		if err != nil {
			continue
		}

		var w queue.Waiters
		if err := json.Unmarshal(m.Data, &w); err != nil {
			return err
		}
		if w.Pending.Jobs == n {
			return nil
		}
	}

	return errors.New("no leader knew all jobs within five minutes")
}

// process is a running worker.
type process struct{ cmd *exec.Cmd }

func startWorkerProcess(server, wildFire string) (process, error) {
	self, err := os.Executable()
	if err != nil {
		return process{}, err
	}
	cmd := exec.Command(self, "-nats", server, "-wildfire", wildFire)
	cmd.Stderr = os.Stderr

	return process{cmd}, cmd.Start()
}

func (p process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
