package compat_test

import (
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/natsconn"
	"backburn/internal/testkit"
)

// TestLeafNode works through a leaf node with streams on its hub: one without JetStream, and one
// with its own, whose API would answer if the domain were not named.
func TestLeafNode(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"without JetStream": false, "with JetStream of its own": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hubOptions := &server.Options{
				ServerName:      "hub",
				JetStream:       true,
				JetStreamDomain: "hub",
				LeafNode:        server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT},
			}
			hub := run(t, hubOptions)
			remote := &url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(hubOptions.LeafNode.Port))}
			leafOptions := &server.Options{
				ServerName: "leaf",
				JetStream:  own,
				LeafNode:   server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}}}},
			}
			if own {
				leafOptions.JetStreamDomain = "leaf"
			}
			leaf := run(t, leafOptions)

			endToEnd(t, natsconn.Config{URL: leaf.ClientURL(), Domain: "hub"})
			if n := streams(t, hub); n == 0 {
				t.Error("there is nothing on the hub")
			}
			if own && streams(t, leaf) != 0 {
				t.Error("there are streams on the leaf")
			}
		})
	}
}

// run runs a server in the test.
func run(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	opts.Host = "127.0.0.1"
	opts.Port = server.RANDOM_PORT
	opts.NoSigs = true
	opts.NoLog = true
	opts.StoreDir = t.TempDir()
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { testkit.StopNATS(s) })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server did not start")
	}
	return s
}

func streams(t *testing.T, s *server.Server) int {
	t.Helper()
	info, err := s.Jsz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return info.Streams
}
