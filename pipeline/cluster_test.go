package pipeline_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire/wildfiretest"
)

// startCluster starts three servers that form a cluster.
func startCluster(t *testing.T) []*server.Server {
	t.Helper()
	var routes []*url.URL
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		ports = append(ports, port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	var servers []*server.Server
	for i, port := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		servers = append(servers, s)
	}
	for _, s := range servers {
		if !s.ReadyForConnections(20 * time.Second) {
			t.Fatal("a server of the cluster did not start")
		}
	}
	return servers
}

// The guarantees also hold on a cluster, even when the server that leads the streams dies.
func TestAClusterSurvivesItsLeader(t *testing.T) {
	t.Parallel()
	servers := startCluster(t)
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.ClientURL())
	}
	dial := func() *nats.Conn {
		nc, err := nats.Connect(strings.Join(urls, ","), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	topology := queue.Topology{
		Prefix:   "backburn",
		Replicas: 3,
		Lease:    3 * time.Second,
		Results:  queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30},
	}
	open := func() *queue.Queue {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		q, err := queue.Open(ctx, dial(), topology)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	f := newFixtureOn(t, open(), wildfiretest.WithLatency(5*time.Millisecond))
	f.startWorker()
	f.startWorkerOn(open())

	const jobs = 120
	pub := f.q.Publisher()
	for i := range jobs {
		if i == jobs/2 {
			killLeader(t, f.q, servers)
		}
		job := pipeline.Job{
			ID: fmt.Sprint("job-", i), Source: "mail", Priority: pipeline.Normal, Version: 1, Kind: pipeline.KindURL,
			URL: fmt.Sprintf("https://example.com/%d", i),
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		if _, err := pub.Submit(ctx, job, queue.Input{}); err != nil {
			t.Fatalf("job %d: %v", i, err)
		}
		cancel()
	}
	all := f.waitEvents(jobs)
	for i := range jobs {
		all.onlyOf(t, fmt.Sprint("job-", i))
	}
}

// killLeader stops the server that leads JOBS.
func killLeader(t *testing.T, q *queue.Queue, servers []*server.Server) {
	t.Helper()
	s, err := q.JetStream().Stream(t.Context(), q.JobsStream())
	if err != nil {
		t.Fatal(err)
	}
	leader := s.CachedInfo().Cluster.Leader
	for _, s := range servers {
		if s.Name() == leader {
			s.Shutdown()
			s.WaitForShutdown()
			return
		}
	}
	t.Fatalf("no server has the name %q", leader)
}
