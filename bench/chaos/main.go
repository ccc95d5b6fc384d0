//go:build unix

// Command chaos drops files into a folder while it kills the processes that serve the folder with
// SIGKILL, at random, and restarts them. With -freeze, every other time it stops a process for a
// while instead, as if its virtual machine were paused. It requires exactly one final event for
// every file, and prints how many files were lost, published twice or uploaded twice.
//
//	go run ./bench/chaos
//	go run ./bench/chaos -topology run -n 2000
//	go run ./bench/chaos -topology cluster -every 3s
//	go run ./bench/chaos -freeze 40s -every 2s -n 1000 -storm 2m
//
// The topologies are "split" (three workers, two watchers of the folder and a NATS server), "run"
// (`backburn run`: everything in one process) and "cluster" (three workers and two watchers on
// three NATS servers; the leader of the job stream is killed). The processes are the real binaries,
// built by this program. The server syncs every acknowledged message to the disk.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/testkit"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

type settings struct {
	n        int
	every    time.Duration
	storm    time.Duration
	freeze   time.Duration
	topology string
	race     bool
	seed     uint64
}

func main() {
	if filepath.Base(os.Args[0]) == "nats" {
		testkit.NATS()
	}

	var s settings
	flag.IntVar(&s.n, "n", 10_000, "files")
	flag.DurationVar(&s.every, "every", 400*time.Millisecond, "mean time between two kills")
	flag.DurationVar(&s.storm, "storm", 5*time.Minute, "longest time of killing; the files are dropped during its first four fifths")
	flag.DurationVar(&s.freeze, "freeze", 0, "longest time for which a process is frozen instead of killed; 0: all are killed")
	flag.StringVar(&s.topology, "topology", "split", "split, run or cluster")
	flag.BoolVar(&s.race, "race", false, "build the processes with the race detector")
	flag.Uint64Var(&s.seed, "seed", 1, "random seed for the files and the kills")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !testkit.Alone(ctx, os.Stdout, func(t testing.TB) { run(t, s) }) {
		stop()
		os.Exit(1)
	}
}

func run(t testing.TB, s settings) {
	var flags []string
	if s.race {
		flags = append(flags, "-race")
	}
	testkit.BuildPrograms(t, flags...)
	site := testkit.NewSite(t, wildfiretest.WithDelay(100*time.Millisecond), wildfiretest.WithCapacity(2*s.n, 100*s.n))
	site.WildFire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: 50 * time.Millisecond}})
	c := testkit.Chaos{
		Site:     site,
		Files:    testkit.Many(s.n, rand.New(rand.NewPCG(s.seed, 3))),
		Every:    s.every,
		Storm:    s.storm,
		Freeze:   s.freeze,
		Seed:     s.seed,
		LogEvery: 10 * time.Second,
	}
	keys := testkit.Settings{"log.level": "info", "watch.max_in_flight": 2000}
	switch s.topology {
	case "split":
		startFleet(t, site, &c, keys, 1)
	case "cluster":
		startFleet(t, site, &c, keys, 3)
	case "run":
		_, c.NATS = testkit.NATSArgs(t, 1, "")
		keys["nats.url"] = c.NATS
		c.Members = []testkit.Member{{Role: "backburn run", Program: "backburn", Args: []string{"run"}}}
	default:
		t.Fatalf("topology %q: expected split, run or cluster", s.topology)
	}

	site.Configure(keys)
	t.Logf("topology %s, a kill every %s", s.topology, s.every)
	t.Log(c.Run())
}

// startFleet sets up a fleet of workers and watchers on n NATS servers.
func startFleet(t testing.TB, site *testkit.Site, c *testkit.Chaos, keys testkit.Settings, n int) {
	args, urls := testkit.NATSArgs(t, n, site.Path("server"))
	c.NATS = urls
	keys["nats.url"] = urls
	keys["nats.embedded.enabled"] = false
	keys["nats.replicas"] = n
	for i := range n {
		m := testkit.Member{Role: "nats", Program: "nats", Args: args[i]}
		if n > 1 {
			m.Role, m.Leads = "nats leader", func(js jetstream.JetStream) bool { return c.Up("nats leader") && isLeader(js, fmt.Sprint("n", i)) }
		}

		c.Members = append(c.Members, m)
	}

	for range 2 {
		c.Members = append(c.Members, testkit.Member{Role: "watcher", Program: "watcher"})
	}

	for range 3 {
		c.Members = append(c.Members, testkit.Member{Role: "worker", Program: "worker"})
	}
}

// isLeader reports whether a server leads the stream of jobs, and its followers are up to date.
func isLeader(js jetstream.JetStream, name string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, "BACKBURN_JOBS")
	if err != nil || stream.CachedInfo().Cluster == nil {
		return false
	}

	info := stream.CachedInfo().Cluster
	for _, r := range info.Replicas {
		if !r.Current {
			return false
		}
	}

	return info.Leader == name && len(info.Replicas) == 2
}
