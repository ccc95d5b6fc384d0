// Package testkit lets tests run the binaries as processes that can be killed, against a simulated
// WildFire and, if needed, a NATS server in the test itself.
//
// A test writes the configuration of a Site, starts processes on it, drops files into its folder,
// and requires exactly one final event for each. It builds nothing: testscript.Main puts the
// programs in a test binary into the PATH.
package testkit

import "time"

// Patience is the time-out for everything that must happen. No measurement uses it.
const Patience = 90 * time.Second
