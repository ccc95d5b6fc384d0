package testkit

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// StartNATS runs a NATS server in the test, with JetStream in a temporary folder unless opts
// name another, until the test ends. It listens on any free port unless opts say otherwise.
func StartNATS(t testing.TB, opts *server.Options) *server.Server {
	t.Helper()
	if opts.ServerName == "" {
		opts.ServerName = "test"
	}
	opts.Host = "127.0.0.1"
	opts.JetStream = true
	opts.NoSigs = true
	opts.NoLog = true
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	if opts.StoreDir == "" {
		opts.StoreDir = t.TempDir()
	}
	if opts.JetStreamMaxStore == 0 {
		opts.JetStreamMaxStore = 1 << 40 // the server's default depends on the free space of the disk
	}

	ns := must(server.NewServer(opts))(t)
	ns.Start()
	t.Cleanup(func() { StopNATS(ns) })
	if !ns.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server did not start")
	}

	return ns
}

// StopNATS stops a server and waits until it is gone. It may be called more than once.
func StopNATS(ns *server.Server) {
	ns.Shutdown()
	ns.WaitForShutdown()
}
