//go:build unix

// Command files measures how many files per second get from a watched folder to their "submitted"
// event, in one process with a simulated WildFire that answers at once.
//
// For comparison, a bare loop reads the same files, hashes them with MD5 and SHA-256, and posts
// them over as many keep-alive connections. Look at the ratio of the two, because machines differ
// and are noisy.
//
//	go run ./bench/files -n 5000
//	go run ./bench/files -n 5000 -sync
package main

import (
	"context"
	"crypto/md5" // WildFire's other digest
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"backburn/auth"
	"backburn/bench/internal/durable"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire/wildfiretest"
)

type settings struct {
	n, size, conns int
	sync, ask      bool
	final          bool
	profile        string
	allocs         string
	rounds         int
}

func main() {
	var s settings
	flag.IntVar(&s.n, "n", 4000, "files")
	flag.IntVar(&s.size, "size", 10<<10, "size of each file, in bytes")
	flag.IntVar(&s.conns, "conns", 8, "concurrent uploads, and connections of the bare loop")
	flag.BoolVar(&s.sync, "sync", false, "sync_always: sync every acknowledged message to the disk")
	flag.BoolVar(&s.ask, "ask", true, "ask_first: look each hash up before uploading it")
	flag.BoolVar(&s.final, "final", false, "measure to the final event instead of the submitted one")
	flag.StringVar(&s.profile, "cpuprofile", "", "write a CPU profile of Backburn's part to this file")
	flag.StringVar(&s.allocs, "memprofile", "", "write a profile of all allocations to this file")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds; the bare loop is measured in each")
	flag.Parse()
	if s.allocs != "" {
		runtime.MemProfileRate = 512
	}

	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "files:", err)
		os.Exit(1)
	}
}

func run(s settings) error {
	fmt.Printf("%d files of %d bytes, %d connections, sync_always=%v, ask_first=%v, %d CPUs\n",
		s.n, s.size, s.conns, s.sync, s.ask, runtime.NumCPU())

	var ratios []float64
	var ours measurement
	for range s.rounds {
		limit, err := measureBareLoop(s)
		if err != nil {
			return err
		}

		ours, err = measureBackburn(s)
		if err != nil {
			return err
		}

		ratios = append(ratios, ours.perSecond/limit.perSecond)
		fmt.Printf("bare loop %6.0f files/s (%4.0f µs of CPU each)   backburn %6.0f files/s (%4.0f µs, %.1f CPUs busy)   ratio %.2f\n",
			limit.perSecond, limit.cpu, ours.perSecond, ours.cpu, ours.cpu*ours.perSecond/1e6, ours.perSecond/limit.perSecond)
	}

	slices.Sort(ratios)
	fmt.Printf("median ratio %.2f\n", ratios[len(ratios)/2])
	printWrites(ours.writes, s.n)
	fmt.Printf("%.1f messages sent and %.1f received per file, acknowledgments and reads included\n", ours.sent, ours.received)
	fmt.Printf("%.0f allocations per file, server and simulated WildFire included\n", ours.allocations)

	return writeAllocs(s.allocs)
}

// measurement has the figures of one round, per file except for the first field.
type measurement struct {
	perSecond      float64 // files
	cpu            float64 // in µs
	allocations    float64
	sent, received float64           // messages on our connection to NATS
	writes         map[string]uint64 // durable writes in total
}

// meter measures the time and the resources used since its start.
type meter struct {
	began     time.Time
	cpu       time.Duration
	allocated uint64
}

func startMeter() meter {
	return meter{
		began:     time.Now(),
		cpu:       cpuTime(),
		allocated: allocations(),
	}
}

func (m meter) stop(n int) measurement {
	files := float64(n)

	return measurement{
		perSecond:   files / time.Since(m.began).Seconds(),
		cpu:         float64((cpuTime() - m.cpu).Microseconds()) / files,
		allocations: float64(allocations()-m.allocated) / files,
	}
}

// cpuTime returns the CPU time of the process so far, including the simulated WildFire.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writeAllocs writes a profile of all allocations to the named file, if any.
func writeAllocs(name string) error {
	if name == "" {
		return nil
	}

	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()

	return pprof.Lookup("allocs").WriteTo(f, 0)
}

// allocations returns the number of objects allocated so far.
func allocations() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)

	return m.Mallocs
}

// serveSimulation runs a simulated WildFire that judges at once.
func serveSimulation() (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	sim := wildfiretest.New(wildfiretest.WithDelay(0), wildfiretest.WithUnknownFor(0), wildfiretest.WithCapacity(1_000_000, 1000),
		wildfiretest.WithClient("bench@1.iam.panserviceaccount.com", "secret", "1"), wildfiretest.WithToken("bare"))
	h := sim.NewHTTPServer()
	go func() { _ = h.Serve(sim.Listener(l)) }()

	return "http://" + l.Addr().String(), func() { _ = h.Close() }, nil
}

// makeFiles writes n files of random contents.
func makeFiles(dir string, n, size int) ([]string, error) {
	names := make([]string, n)
	body := make([]byte, size)
	for i := range names {
		_, _ = rand.Read(body)
		names[i] = filepath.Join(dir, fmt.Sprintf("sample-%06d.exe", i))
		if err := os.WriteFile(names[i], body, 0o600); err != nil {
			return nil, err
		}
	}

	return names, nil
}

// measureBareLoop measures the limit of the machine: read, hash, post.
func measureBareLoop(s settings) (measurement, error) {
	dir, err := os.MkdirTemp("", "backburn-bench-")
	if err != nil {
		return measurement{}, err
	}
	defer os.RemoveAll(dir)
	names, err := makeFiles(dir, s.n, s.size)
	if err != nil {
		return measurement{}, err
	}

	url, stop, err := serveSimulation()
	if err != nil {
		return measurement{}, err
	}
	defer stop()

	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: s.conns, DisableCompression: true}}
	defer client.CloseIdleConnections()

	m := startMeter()
	var next atomic.Int64
	var g errgroup.Group
	for range s.conns {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				if err := post(client, url, names[i]); err != nil {
					return err
				}
			}

			return nil
		})
	}

	err = g.Wait()

	return m.stop(s.n), err
}

func post(client *http.Client, url, name string) error {
	pr, pw := io.Pipe()
	form := multipart.NewWriter(pw)
	go func() {
		pw.CloseWithError(func() error {
			part, err := form.CreateFormFile("file", filepath.Base(name))
			if err != nil {
				return err
			}

			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := io.Copy(io.MultiWriter(part, sha256.New(), md5.New()), f); err != nil {
				return err
			}

			return form.Close()
		}())
	}()
	req, err := http.NewRequest(http.MethodPost, url+"/publicapi/submit/file", pr)
	if err != nil {
		return err
	}

	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Authorization", "Bearer bare")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}

	return err
}

// measureBackburn measures Backburn: files are renamed into a watched folder, and the clock stops
// at the last event.
func measureBackburn(s settings) (m measurement, err error) {
	dir, err := os.MkdirTemp("", "backburn-bench-")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(dir)
	staging, quarantine := filepath.Join(dir, "staging"), filepath.Join(dir, "quarantine")
	for _, d := range []string{staging, quarantine} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return m, err
		}
	}

	names, err := makeFiles(staging, s.n, s.size)
	if err != nil {
		return m, err
	}

	url, stop, err := serveSimulation()
	if err != nil {
		return m, err
	}
	defer stop()

	cfg, log := configure(s, dir, quarantine, url), zerolog.New(os.Stderr).Level(zerolog.WarnLevel)
	server, err := natsd.Start(context.Background(), cfg, log)
	if err != nil {
		return m, err
	}
	defer server.Shutdown()
	cfg.NATS = server.NATS()
	n, err := app.Start(context.Background(), cfg, app.Roles{Watch: true, Work: true, NATS: server}, log)
	if err != nil {
		return m, err
	}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-done)
	}()

	return measure(ctx, s, n, names, quarantine)
}

// measure drops the files, and waits for their events.
func measure(ctx context.Context, s settings, n *app.Node, names []string, quarantine string) (m measurement, err error) {
	if s.profile != "" {
		f, err := os.Create(s.profile)
		if err != nil {
			return m, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return m, err
		}
		defer pprof.StopCPUProfile()
	}

	conn := n.Queue().JetStream().Conn()
	before := conn.Stats()
	meter := startMeter()
	for _, name := range names {
		if err := os.Rename(name, filepath.Join(quarantine, filepath.Base(name))); err != nil {
			return m, err
		}
	}

	if err := s.waitForEvents(ctx, n.Queue()); err != nil {
		return m, err
	}

	m = meter.stop(s.n)

	if err := waitForFinals(ctx, n, s.n); err != nil {
		return m, err
	}

	after := conn.Stats()
	m.sent = float64(after.OutMsgs-before.OutMsgs) / float64(s.n)
	m.received = float64(after.InMsgs-before.InMsgs) / float64(s.n)
	m.writes, err = durable.Writes(ctx, n.Queue())

	return m, err
}

// waitForEvents waits for the events that end the measurement without reading them, because the
// cost of consumers is not measured.
func (s settings) waitForEvents(ctx context.Context, q *queue.Queue) error {
	event := "submitted"
	if s.final {
		event = "verdict"
	}

	c, err := q.JetStream().OrderedConsumer(ctx, q.ResultsStream(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{q.ResultsSubject(event, "*", "*")}, HeadersOnly: true,
	})
	if err != nil {
		return err
	}

	all, seen := make(chan struct{}), 0
	cc, err := c.Consume(func(jetstream.Msg) {
		if seen++; seen == s.n {
			close(all)
		}
	})
	if err != nil {
		return err
	}
	defer cc.Stop()
	<-all

	return nil
}

// waitForFinals waits until every file has its final event, so that all writes are counted.
func waitForFinals(ctx context.Context, n *app.Node, files int) error {
	seen := 0
	sub := results.NewSubscriber(n.Queue().JetStream(), results.SubscriberConfig{Filter: results.Filter{Types: []results.Type{results.Verdict, results.Failed}}})
	if err := sub.Run(ctx, func(context.Context, results.Event) error {
		if seen++; seen == files {
			return results.ErrStop
		}

		return nil
	}); err != nil {
		return err
	}

	for {
		st := n.Status(ctx)
		if st.Away != nil {
			return errors.New(st.Away.Reason)
		}
		if st.Pending.Jobs+st.Parked.Jobs == 0 {
			return nil
		}

		time.Sleep(10 * time.Millisecond)
	}
}

func configure(s settings, dir, quarantine, url string) config.Config {
	cfg := config.Default()
	cfg.NATS.URL = "nats://127.0.0.1:0"
	cfg.NATS.Embedded.StoreDir = filepath.Join(dir, "nats")
	cfg.NATS.Embedded.SyncAlways = s.sync
	cfg.HTTP.Listen = ""
	cfg.Watch[0].Path = quarantine
	cfg.Watch[0].Settle = 0
	cfg.Watch[0].Scan = time.Second
	cfg.Watch[0].MaxInFlight = 2 * s.n
	cfg.Watch[0].MinFree = 0
	cfg.Pipeline.Concurrency = s.conns
	cfg.Pipeline.Rate = 1e6
	cfg.Pipeline.Burst = 1e6
	cfg.Pipeline.UploadsPerDay = 0
	cfg.Pipeline.QueriesPerDay = 0
	cfg.Pipeline.AskFirst = s.ask
	cfg.WildFire.Client.BaseURL = url

	// Query for verdicts only after the last submission, as in a real installation.
	cfg.Pipeline.FirstPoll, cfg.Pipeline.MaxPoll = 4*time.Second, 4*time.Second
	if s.final {
		cfg.Pipeline.FirstPoll, cfg.Pipeline.MaxPoll = 100*time.Millisecond, 100*time.Millisecond
	}

	cfg.Auth["wildfire"] = auth.Profile{
		Kind: auth.KindWildFire, ClientID: "bench@1.iam.panserviceaccount.com", ClientSecret: auth.NewSecret("secret"),
		TSGID: "1", TokenURL: url + "/am/oauth2/access_token", Share: auth.ShareOff,
	}

	return cfg
}

func printWrites(writes map[string]uint64, n int) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	total := uint64(0)
	fmt.Fprintf(w, "durable writes\ttotal\tper file\t\n")
	for _, name := range []string{"jobs", "jobs acknowledged", "ledger", "events", "control", "dead", "outcomes acknowledged"} {
		total += writes[name]
		fmt.Fprintf(w, "%s\t%d\t%.2f\t\n", name, writes[name], float64(writes[name])/float64(n))
	}
	fmt.Fprintf(w, "all\t%d\t%.2f\t\n", total, float64(total)/float64(n))
	_ = w.Flush()
}
