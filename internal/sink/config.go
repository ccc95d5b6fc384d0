package sink

import (
	"time"

	"backburn/internal/sink/format"
	"backburn/results"
)

// Config says which events a sink reads, and how it handles faults.
type Config struct {
	Name    string // sink name; part of its durable consumer's name
	Kind    string // shown in Status
	Prefix  string // nats.prefix
	Filter  results.Filter
	Format  format.Name // defaults to cloudevents
	Product string      // Backburn's version

	DeadFile    string        // JSON lines with rejected events and their reasons; "": they are retried instead
	MaxAttempts int           // attempts for an event on which the receiver fails; defaults to 10
	Timeout     time.Duration // limit for one call of Send; defaults to 30s
	RetryMin    time.Duration // first retry delay; defaults to 1s
	RetryMax    time.Duration // longest retry delay; defaults to 1m
	Pause       time.Duration // retry delay while something is misconfigured; defaults to 1m
	WarnEvery   time.Duration // interval between log messages about a lasting fault; defaults to 10m
}
