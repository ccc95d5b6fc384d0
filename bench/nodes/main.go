// Command nodes measures how many files a second `backburn run` takes from a folder to their final
// events on a cluster of NATS servers that sync every write, against a simulated WildFire that
// answers at once. With more than one program, which may be of other versions, each is measured in
// turn, and the ratios are to the first of the same round. With -single files come one at a time,
// and the time from each drop to its submitted event is measured.
//
//	go run ./bench/nodes -n 1000
//	go run ./bench/nodes path/to/old/backburn path/to/new/backburn
//	go run ./bench/nodes -nodes 1 -n 200 -single
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/testkit"
	"backburn/wildfire/wildfiretest"
)

type settings struct {
	files, size   int
	nodes, rounds int
	single        bool
	programs      []string
}

func main() {
	if filepath.Base(os.Args[0]) == "nats" {
		testkit.NATS()
	}

	var s settings
	flag.IntVar(&s.files, "n", 1000, "files")
	flag.IntVar(&s.size, "size", 10<<10, "bytes in each")
	flag.IntVar(&s.nodes, "nodes", 3, "NATS servers, and copies of every stream")
	flag.IntVar(&s.rounds, "rounds", 3, "rounds")
	flag.BoolVar(&s.single, "single", false, "one file at a time, to its submitted event")
	flag.Parse()
	s.programs = flag.Args()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !testkit.Alone(ctx, os.Stdout, func(t testing.TB) { run(t, s) }) {
		stop()
		os.Exit(1)
	}
}

func run(t testing.TB, s settings) {
	testkit.BuildPrograms(t)
	for i, program := range s.programs {
		path, err := filepath.Abs(program) // they run in another folder
		if err != nil {
			t.Fatal(err)
		}
		s.programs[i] = path
	}
	if len(s.programs) == 0 {
		s.programs = []string{"backburn"}
	}

	ratios := make([][]float64, len(s.programs))
	for range s.rounds {
		var first float64
		for i, program := range s.programs {
			var perSecond float64
			if !testkit.Alone(t.Context(), os.Stdout, func(t testing.TB) { perSecond = measure(t, s, program) }) {
				t.Fatalf("%s was not measured", program)
			}
			if i == 0 {
				first = perSecond
			}
			ratios[i] = append(ratios[i], perSecond/first)
			fmt.Printf("%s: %.0f files/s, ratio %.2f\n", program, perSecond, perSecond/first)
		}
	}

	for i, program := range s.programs {
		slices.Sort(ratios[i])
		fmt.Printf("%s: median ratio %.2f\n", program, ratios[i][s.rounds/2])
	}
}

// measure returns files a second, from the first drop to the last final event.
func measure(t testing.TB, s settings, program string) float64 {
	site := testkit.NewSite(t, wildfiretest.WithCapacity(2*s.files, 100*s.files))
	js := startServers(t, site, s.nodes)
	p := site.Start(program, "run", "--config", "backburn.toml")
	p.Logged("ready")

	staged := site.Path("staged")
	if err := os.Mkdir(staged, 0o700); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, s.size)
	names := make([]string, s.files)
	for i := range names {
		names[i] = fmt.Sprintf("%d.exe", i)
		_, _ = rand.Read(body)
		if err := os.WriteFile(filepath.Join(staged, names[i]), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	drop := func(name string) {
		if err := os.Rename(filepath.Join(staged, name), site.Path("quarantine", name)); err != nil {
			t.Fatal(err)
		}
	}

	if s.single {
		return oneByOne(t, js, names, drop)
	}
	ended := subscribe(t, js, "verdict")
	began := time.Now()
	for _, name := range names {
		drop(name)
	}
	for range names {
		waitForEvent(t, ended)
	}

	return float64(s.files) / time.Since(began).Seconds()
}

// oneByOne drops each file after the one before was submitted. It prints how long that took, and
// returns how many files would take their median time in a second.
func oneByOne(t testing.TB, js jetstream.JetStream, names []string, drop func(string)) float64 {
	submitted := subscribe(t, js, "submitted")
	took := make([]time.Duration, len(names))
	for i, name := range names {
		began := time.Now()
		drop(name)
		waitForEvent(t, submitted)
		took[i] = time.Since(began)
	}

	slices.Sort(took)
	median := took[len(took)/2]
	fmt.Printf("half of %d files were submitted within %.1f ms, 99 %% within %.1f ms\n",
		len(took), median.Seconds()*1000, took[len(took)*99/100].Seconds()*1000)

	return 1 / median.Seconds()
}

// waitForEvent waits for an event.
func waitForEvent(t testing.TB, events <-chan struct{}) {
	select {
	case <-events:
	case <-t.Context().Done():
		t.Fatal("interrupted")
	}
}

// startServers starts NATS servers, and makes the site use them.
func startServers(t testing.TB, site *testkit.Site, n int) jetstream.JetStream {
	args, urls := testkit.NATSArgs(t, n, site.Path("server"))
	for _, a := range args {
		site.Start("nats", a...).Logged("nats server is up")
	}
	site.Configure(testkit.Settings{
		"nats.url":              urls,
		"nats.embedded.enabled": false,
		"nats.replicas":         n,
		"log.level":             "info",
		"watch.max_in_flight":   100_000,
		"watch.settle":          "0s",
		"worker.rate":           100_000.0,
		"worker.burst":          100_000,
	})

	return site.Connect(urls)
}

// subscribe returns a channel that receives once for each event of a type.
func subscribe(t testing.TB, js jetstream.JetStream, eventType string) <-chan struct{} {
	c, err := js.OrderedConsumer(t.Context(), "BACKBURN_RESULTS", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"backburn.results." + eventType + ".>"},
		HeadersOnly:    true,
	})
	if err != nil {
		t.Fatal(err)
	}

	all := make(chan struct{}, 1024)
	consume, err := c.Consume(func(jetstream.Msg) { all <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(consume.Stop)

	return all
}
