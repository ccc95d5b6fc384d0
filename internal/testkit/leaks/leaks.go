// Package leaks names the goroutines that the NATS libraries leave behind, so that goleak looks for
// ours alone. It imports none of our packages: every test may use it.
package leaks

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package, and fails if one of our goroutines is left after them.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The server stopped while a stream's source was set up. What waits for the answer to the
		// server's own request ends by itself.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"),

		// A stream was removed while the server wrote to it: what flushes its file goes on, and
		// keeps the server's coarse clock, as of nats-server v2.15.2.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),

		// An object was stored before this goroutine first ran. It finds its channel gone and waits
		// for good, as of nats.go v1.55.0.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}
