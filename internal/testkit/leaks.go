package testkit

import "go.uber.org/goleak"

// ServerWaits is what a NATS server leaves behind when it stops while a stream's source is set up:
// a wait for the answer to its own request, which ends by itself.
func ServerWaits() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3")
}
