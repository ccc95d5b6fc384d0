package queue

import (
	"cmp"
	"time"

	"backburn/pipeline"
)

// QueueLimits limits the queue, the ledger and the object bucket: the keys of [queue].
type QueueLimits struct {
	JobsMaxBytes   int64 `toml:"jobs_max_bytes" unit:"bytes" doc:"Total size of the jobs that wait for a worker, with the contents of those that carry them in the message."`
	LedgerMaxBytes int64 `toml:"ledger_max_bytes" unit:"bytes" doc:"Total size of the records of jobs and samples, with the contents of waiting jobs that carry them in the message. While the limit is reached, workers wait."`
	FilesMaxBytes  int64 `toml:"files_max_bytes" unit:"bytes" doc:"Total size of the contents in the object bucket."`

	FilesMaxAge time.Duration `toml:"files_max_age" doc:"How long contents in the object bucket are kept at most, also for jobs that still wait. Contents of a job with a verdict are removed at once."`
}

// DefaultQueueLimits returns the defaults of [queue].
func DefaultQueueLimits() QueueLimits {
	return QueueLimits{
		JobsMaxBytes:   2 << 30,
		LedgerMaxBytes: 2 << 30,
		FilesMaxBytes:  4 << 30,
		FilesMaxAge:    90 * 24 * time.Hour, // as long as dead letters
	}
}

// minQueueBytes is the smallest limit. The largest message is much smaller.
const minQueueBytes = 64 << 20

// Check calls bad for each key with an invalid value.
func (l QueueLimits) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	want(l.JobsMaxBytes >= minQueueBytes, "jobs_max_bytes", "at least 64MiB")
	want(l.LedgerMaxBytes >= minQueueBytes, "ledger_max_bytes", "at least 64MiB")
	want(l.FilesMaxBytes >= minQueueBytes, "files_max_bytes", "at least 64MiB")
	want(l.FilesMaxAge >= 24*time.Hour, "files_max_age", "at least 1d")
}

// orDefaults returns the limits with the defaults for those that are 0.
func (l QueueLimits) orDefaults() QueueLimits {
	d := DefaultQueueLimits()

	return QueueLimits{
		JobsMaxBytes:   cmp.Or(l.JobsMaxBytes, d.JobsMaxBytes),
		LedgerMaxBytes: cmp.Or(l.LedgerMaxBytes, d.LedgerMaxBytes),
		FilesMaxBytes:  cmp.Or(l.FilesMaxBytes, d.FilesMaxBytes),
		FilesMaxAge:    cmp.Or(l.FilesMaxAge, d.FilesMaxAge),
	}
}

// EventLimits limits the stream of events: the keys of [results].
type EventLimits struct {
	MaxAge   time.Duration `toml:"max_age" doc:"How long events and the records of finished jobs are kept; at least verdicts.deadline."`
	MaxBytes int64         `toml:"max_bytes" unit:"bytes" doc:"Total size of events. The oldest are removed first."`
}

// DefaultEventLimits returns the defaults of [results].
func DefaultEventLimits() EventLimits {
	return EventLimits{MaxAge: 30 * 24 * time.Hour, MaxBytes: 10 << 30}
}

// Check calls bad for each key with an invalid value.
func (l EventLimits) Check(bad func(key, expected string, related ...string)) {
	pipeline.Wants(bad)(l.MaxBytes > 0, "max_bytes", "more than 0")
}

// DeadLimits limits the stream of dead letters: the keys of [dead_letters].
type DeadLimits struct {
	MaxAge         time.Duration `toml:"max_age" doc:"How long dead letters that need an operator are kept."`
	ExpectedMaxAge time.Duration `toml:"expected_max_age" doc:"How long dead letters of ordinary outcomes (unsupported_type, empty, too_large, withheld) are kept."`
	MaxLetters     int           `toml:"max_letters" doc:"Most dead letters of one reason and source."`
	MaxBytes       int64         `toml:"max_bytes" unit:"bytes" doc:"Total size of all dead letters."`
}

// DefaultDeadLimits returns the defaults of [dead_letters].
func DefaultDeadLimits() DeadLimits {
	return DeadLimits{
		MaxAge:         90 * 24 * time.Hour,
		ExpectedMaxAge: 7 * 24 * time.Hour,
		MaxLetters:     10_000,
		MaxBytes:       512 << 20,
	}
}

// Check calls bad for each key with an invalid value.
func (l DeadLimits) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	want(l.MaxAge >= time.Minute, "max_age", "at least 1m")
	want(l.ExpectedMaxAge >= time.Minute, "expected_max_age", "at least 1m")
	want(l.ExpectedMaxAge <= l.MaxAge, "expected_max_age", "at most dead_letters.max_age", "max_age")
	want(l.MaxLetters > 0, "max_letters", "more than 0")
	want(l.MaxBytes > 0, "max_bytes", "more than 0")
}

// orDefaults returns the limits with the defaults for those that are 0.
func (l DeadLimits) orDefaults() DeadLimits {
	d := DefaultDeadLimits()

	return DeadLimits{
		MaxAge:         cmp.Or(l.MaxAge, d.MaxAge),
		ExpectedMaxAge: cmp.Or(l.ExpectedMaxAge, d.ExpectedMaxAge),
		MaxLetters:     cmp.Or(l.MaxLetters, d.MaxLetters),
		MaxBytes:       cmp.Or(l.MaxBytes, d.MaxBytes),
	}
}
