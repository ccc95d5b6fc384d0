// Package leaks lists the goroutines that the NATS libraries leave behind, so that goleak reports
// only ours. It imports none of our packages: every test may use it.
package leaks

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package, and fails if one of our goroutines is left after them.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The server stopped while it set up a stream's source. The goroutine that waits for the
		// answer to its own request ends by itself.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"),

		// A stream was removed while the server wrote to it. The goroutine that flushes its file
		// continues, and keeps the server's coarse clock (nats-server v2.15.2).
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),

		// An object was stored before this goroutine first ran. Its channel is gone, so it waits
		// forever (nats.go v1.55.0).
		goleak.IgnoreAnyFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}
