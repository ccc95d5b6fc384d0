// Package compat has only tests: that the system works with every supported version of the NATS
// server, run as a separate program, and refuses older ones with a reason.
package compat
