// Package compat holds tests, and nothing else: that the system works with every NATS server that
// it says it works with, as programs of their own, and refuses older ones with a reason.
package compat
