// Command queue measures the cost of the queue: files per second from the job to the final event,
// with a simulated WildFire that answers and judges at once, by one and by three workers, with and
// without sync_always. For comparison, a bare loop makes as many durable writes as the files need.
// Look at the ratio of the two, because machines differ and are noisy.
//
// With -depth it measures the cost of a job while many others are queued. The cost must not grow
// with their number.
//
//	go run ./bench/queue
//	go run ./bench/queue -depth
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/bench/internal/durable"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func main() {
	n := flag.Int("n", 3000, "files")
	depth := flag.Bool("depth", false, "measure with 1,000 to 1,000,000 jobs in the queue instead")
	flag.Parse()
	measure := func() error { return measureThroughput(*n) }
	if *depth {
		measure = func() error { return measureDepths(*n) }
	}

	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "queue:", err)
		os.Exit(1)
	}
}

// measureThroughput measures throughput.
func measureThroughput(n int) error {
	fmt.Printf("%d files from job to final event, contents new to WildFire\n", n)
	for _, sync := range []bool{false, true} {
		for _, workers := range []int{1, 3} {
			if err := throughput(n, workers, sync); err != nil {
				return err
			}
		}
	}
	return nil
}

func throughput(n, workers int, sync bool) error {
	s, err := start(sync)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.publish(n, func(i int) []byte { return fmt.Append(nil, "MZ new ", i) }); err != nil {
		return err
	}

	stopWorkers, err := s.startWorkers(workers)
	if err != nil {
		return err
	}

	took, err := s.waitForFinals(n, n)
	if err != nil {
		stopWorkers()
		return err
	}

	stopWorkers()
	writes, err := durable.Writes(context.Background(), s.q)
	if err != nil {
		return err
	}

	total := uint64(0)
	for name, w := range writes {
		if name != "jobs" { // written before the clock started
			total += w
		}
	}

	perFile := float64(total) / float64(n)
	limit, err := s.bareWritesPerSecond(int(total))
	if err != nil {
		return err
	}

	ours, bare := float64(n)/took.Seconds(), limit/perFile
	fmt.Printf("sync_always=%-5v workers=%d: %6.0f files/s, %.2f durable writes per file; the server's limit, %6.0f writes/s, is %6.0f files/s; ratio %.2f\n",
		sync, workers, ours, perFile, limit, bare, ours/bare)

	return nil
}

// measureDepths measures the cost of a job with others queued behind it. All contents are already
// known, so it measures only the queue.
func measureDepths(n int) error {
	fmt.Printf("%d jobs with a known verdict, with others queued behind them\n", n)
	for _, depth := range []int{30_000, 300_000, 1_000_000} {
		shallow, err := costAt(n, 1_000)
		if err != nil {
			return err
		}

		deep, err := costAt(n, depth)
		if err != nil {
			return err
		}

		fmt.Printf("%9d queued: %6.1f µs per job; with 1,000 just before: %6.1f; ratio %.2f\n", depth, deep, shallow, deep/shallow)
	}

	return nil
}

// costAt returns the cost of a job in µs with depth jobs queued, on a new server.
func costAt(n, depth int) (float64, error) {
	s, err := start(false)
	if err != nil {
		return 0, err
	}
	defer s.stop()

	return s.measureAtDepth(min(n, depth), depth)
}

func (s *site) measureAtDepth(n, depth int) (float64, error) {
	known := []byte("MZ known")
	sum := sha256.Sum256(known)
	s.sim.Know(wildfiretest.Known{SHA256: hex.EncodeToString(sum[:]), Verdict: wildfire.Malware})
	if err := s.publish(1, func(int) []byte { return known }); err != nil {
		return 0, err
	}

	stop, err := s.startWorkers(1)
	if err != nil {
		return 0, err
	}

	_, err = s.waitForFinals(1, 1)
	stop()
	if err != nil {
		return 0, err
	}
	if err := s.publish(depth, func(int) []byte { return known }); err != nil {
		return 0, err
	}
	if stop, err = s.startWorkers(1); err != nil {
		return 0, err
	}
	defer stop()
	took, err := s.waitForFinals(n/5, n)
	if err != nil {
		return 0, err
	}

	return float64(took.Microseconds()) / float64(n-n/5), nil
}

// site is a server, a queue on it, and a simulated WildFire.
type site struct {
	ns       *server.Server
	q        *queue.Queue
	nc       *nats.Conn
	sim      *wildfiretest.Server
	url      string
	undo     []func()
	jobs     int // submitted so far
	reported atomic.Int64
}

func (s *site) stop() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		s.undo[i]()
	}
}

func start(sync bool) (_ *site, err error) {
	s := &site{}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	dir, err := os.MkdirTemp("", "backburn-bench-")
	if err != nil {
		return nil, err
	}

	s.undo = append(s.undo, func() { _ = os.RemoveAll(dir) })
	s.ns, err = server.NewServer(&server.Options{
		ServerName: "bench", Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, SyncAlways: sync, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return nil, err
	}

	s.ns.Start()
	s.undo = append(s.undo, func() { s.ns.Shutdown(); s.ns.WaitForShutdown() })
	if !s.ns.ReadyForConnections(30 * time.Second) {
		return nil, fmt.Errorf("the NATS server did not start")
	}

	s.sim = wildfiretest.New(wildfiretest.WithDelay(0), wildfiretest.WithUnknownFor(0), wildfiretest.WithCapacity(1_000_000, 1000))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}

	h := s.sim.NewHTTPServer()
	go func() { _ = h.Serve(s.sim.Listener(l)) }()
	s.undo = append(s.undo, func() { _ = h.Close() })
	s.url = "http://" + l.Addr().String()
	s.nc, s.q, err = s.open()

	return s, err
}

const lease = 15 * time.Second

func (s *site) open() (*nats.Conn, *queue.Queue, error) {
	nc, err := nats.Connect(s.ns.ClientURL())
	if err != nil {
		return nil, nil, err
	}
	s.undo = append(s.undo, nc.Close)
	q, err := queue.Open(context.Background(), nc, queue.Topology{
		Prefix: "backburn", Replicas: 1, Lease: lease, Results: queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 8 << 30},
	})

	return nc, q, err
}

// publish submits n raw jobs.
func (s *site) publish(n int, body func(i int) []byte) error {
	js := s.q.JetStream()
	for range n {
		m := &nats.Msg{Subject: s.q.JobSubject(pipeline.Normal, "bench"), Data: body(s.jobs), Header: nats.Header{
			nats.MsgIdHdr: {fmt.Sprint("job-", s.jobs)}, queue.HeaderFilename: {"sample.exe"},
		}}
		s.jobs++
		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(10*time.Second)); err != nil {
			return err
		}
	}

	<-js.PublishAsyncComplete()
	st, err := js.Stream(context.Background(), s.q.JobsStream())
	if err == nil && int(st.CachedInfo().State.LastSeq) != s.jobs {
		err = fmt.Errorf("%d of %d jobs were accepted", st.CachedInfo().State.LastSeq, s.jobs)
	}

	return err
}

// startWorkers starts workers, each with its own connections.
func (s *site) startWorkers(workers int) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	stop = func() { cancel(); running.Wait() }
	for range workers {
		_, q, err := s.open()
		if err != nil {
			stop()
			return nil, err
		}

		wcfg := wildfire.DefaultConfig()
		wcfg.BaseURL = s.url
		client, err := wildfire.New(wcfg, wildfire.StaticToken("token"))
		if err != nil {
			stop()
			return nil, err
		}

		cfg := pipeline.DefaultConfig()
		cfg.Rate = 0
		cfg.UploadsPerDay = 0
		cfg.QueriesPerDay = 0
		cfg.Lease = lease
		cfg.FirstPoll, cfg.MaxPoll = 500*time.Millisecond, time.Second
		w, err := worker.New(q, cfg, client, client)
		if err != nil {
			stop()
			return nil, err
		}

		running.Go(func() { defer client.Close(); _ = w.Run(ctx) })
	}

	return stop, nil
}

// waitForFinals waits for final event number to, and returns the time since event number from; if
// they are equal, the time since the call.
func (s *site) waitForFinals(from, to int) (time.Duration, error) {
	base := int(s.reported.Load())
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	began, seen := time.Now(), 0
	err := results.NewSubscriber(s.q.JetStream(), results.SubscriberConfig{}).Run(ctx, func(_ context.Context, e results.Event) error {
		if !e.Type.Final() {
			return nil
		}
		if e.Type == results.Failed {
			return fmt.Errorf("%s failed: %s", e.Data.JobID, e.Data.Error.Message)
		}

		seen++
		if seen-base == from && from != to {
			began = time.Now()
		}
		if seen-base >= to {
			return results.ErrStop
		}

		return nil
	})
	s.reported.Store(int64(seen))

	return time.Since(began), err
}

// bareWritesPerSecond returns how many durable writes per second the server accepts from a bare
// loop with up to 256 unacknowledged messages.
func (s *site) bareWritesPerSecond(n int) (perSecond float64, err error) {
	js, err := jetstream.New(s.nc, jetstream.WithPublishAsyncMaxPending(256))
	if err != nil {
		return 0, err
	}
	if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: "LIMIT", Subjects: []string{"limit"}}); err != nil {
		return 0, err
	}

	body := make([]byte, 300)
	began := time.Now()
	for i := range n {
		m := &nats.Msg{Subject: "limit", Data: body, Header: nats.Header{nats.MsgIdHdr: {fmt.Sprint(i)}}}
		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(10*time.Second)); err != nil {
			return 0, err
		}
	}

	<-js.PublishAsyncComplete()

	return float64(n) / time.Since(began).Seconds(), nil
}
