package queue

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrMixed says that a process and the fleet that it finds differ in whether WildFire is simulated.
var ErrMixed = errors.New("simulated and real work are kept apart")

// Simulated reports whether a simulated WildFire judges here.
func (q *Queue) Simulated() bool { return q.topology.Simulated }

// isSimulated reports whether a stream is one of a simulation. One that was made before there was such a
// mark is real.
func isSimulated(c jetstream.StreamConfig) bool { return c.Metadata[simulatedKey] == "true" }

// checkMark refuses a stream that was made by the other sort of fleet: its verdicts would be taken for
// ours, or ours for its.
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

// CheckMark refuses a queue of the other sort with ErrMixed.
func (q *Queue) CheckMark(simulated bool) error {
	return Topology{Simulated: simulated}.checkMark(q.ledger.CachedInfo().Config)
}
