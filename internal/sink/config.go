package sink

import (
	"time"

	"backburn/internal/sink/format"
	"backburn/results"
)

// Config says what a sink reads, and how it deals with faults.
type Config struct {
	Name    string // of the sink; part of its durable
	Kind    string // for Status
	Prefix  string // nats.prefix
	Filter  results.Filter
	Format  format.Name // defaults to cloudevents
	Product string      // version of Backburn

	DeadFile    string        // JSON lines of events that were refused, with the reason; "": they are tried again
	MaxAttempts int           // of an event over which the receiver breaks down; defaults to 10
	Timeout     time.Duration // that Send may take; defaults to 30s
	RetryMin    time.Duration // the back-off begins here; defaults to 1s
	RetryMax    time.Duration // and ends here; defaults to 1m
	Pause       time.Duration // between two tries of a receiver that is misconfigured; defaults to 1m
	WarnEvery   time.Duration // a fault that lasts is logged so often; defaults to 10m
}
