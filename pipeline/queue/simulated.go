package queue

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrMixed says that either this process or the existing fleet uses a simulated WildFire, and the
// other a real one.
var ErrMixed = errors.New("simulated and real work are kept apart")

// isSimulated reports whether a stream belongs to a simulation. A stream from before this marker
// existed is real.
func isSimulated(c jetstream.StreamConfig) bool { return c.Metadata[simulatedKey] == "true" }

// checkMark refuses a simulated stream in a real fleet, and a real stream in a simulation:
// otherwise their verdicts would be mixed.
func (t Topology) checkMark(c jetstream.StreamConfig) error {
	is := isSimulated(c)
	switch {
	case is == t.Simulated:
		return nil
	case is:
		return fmt.Errorf("%w: stream %s belongs to a simulation, and here WildFire is real: set another nats.prefix, or remove the simulation's streams",
			ErrMixed, c.Name)
	}

	return fmt.Errorf("%w: stream %s belongs to a real fleet, and here WildFire is simulated: set another nats.prefix, or use another NATS server",
		ErrMixed, c.Name)
}
