// Package testkit lets the tests of the binaries run them as processes, that can be killed,
// against a simulated WildFire and, where a test wants one, a NATS server in the test itself.
//
// A test writes the configuration of a Site, starts processes on it, drops files into its
// folder, and demands that each came out as exactly one final event. It builds nothing:
// testscript.Main puts the programs that a test binary contains into the PATH.
package testkit

import "time"

// Patience is how long anything may take that must happen. Nothing is measured by it.
const Patience = 90 * time.Second
