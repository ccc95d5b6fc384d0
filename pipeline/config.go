package pipeline

import (
	"errors"
	"fmt"
	"time"

	"backburn/wildfire"
)

// Config is what a worker is made with. The comments name the TOML keys.
type Config struct {
	Concurrency     int           // worker.concurrency: uploads at a time in this process
	Rate            float64       // worker.rate: uploads per second of the whole fleet; 0: unlimited
	Burst           int           // worker.burst: of the whole fleet
	MaxAttempts     int           // worker.max_attempts: tries at the upload, the first included
	RetryMin        time.Duration // worker.retry_min: first back-off, doubling
	RetryMax        time.Duration // worker.retry_max
	Lease           time.Duration // worker.lease: a dead worker's work is free after so long; at least 3s
	ShutdownTimeout time.Duration // worker.shutdown_timeout: how long work in hand may go on after a stop

	// Roots maps a source to the folder below which its path contents lie (worker.roots, and
	// the folders that are watched here).
	Roots map[string]string

	// MaxFileSize is the largest file that is uploaded, in bytes; MaxFileSizes is the same for
	// single sources (watch.max_file_size).
	MaxFileSize  int64
	MaxFileSizes map[string]int64

	AskFirst       bool // wildfire.ask_first
	UploadsPerDay  int  // wildfire.uploads_per_day; 0: unlimited
	QueriesPerDay  int  // wildfire.queries_per_day; 0: unlimited
	ReservePercent int  // wildfire.reserve_percent: of both, for urgent jobs

	FirstPoll time.Duration // verdicts.first_poll
	MaxPoll   time.Duration // verdicts.max_poll
	Deadline  time.Duration // verdicts.deadline, from the submission

	MaliciousAge time.Duration // verdicts.malicious_age: so long a verdict answers from memory
	BenignAge    time.Duration // verdicts.benign_age: likewise, for what was found harmless
	Recheck      time.Duration // verdicts.recheck: harmless ones are asked about again after so long; 0: never
}

// DefaultConfig returns the defaults of the configuration file.
func DefaultConfig() Config {
	return Config{
		Concurrency: 8, Rate: 2, Burst: 8, MaxAttempts: 8,
		RetryMin: time.Second, RetryMax: 5 * time.Minute,
		Lease: 15 * time.Second, ShutdownTimeout: 30 * time.Second,
		MaxFileSize: 100_000_000,
		AskFirst:    true, UploadsPerDay: 150, QueriesPerDay: 1050, ReservePercent: 10,
		FirstPoll: 30 * time.Second, MaxPoll: 15 * time.Minute, Deadline: 24 * time.Hour,
		MaliciousAge: 720 * time.Hour, BenignAge: 168 * time.Hour, Recheck: 24 * time.Hour,
	}
}

// Validate reports every value that can't work, by its TOML key.
func (c Config) Validate() error {
	var errs []error
	want := func(ok bool, format string, a ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	want(c.Concurrency >= 1 && c.Concurrency <= 256, "worker.concurrency: from 1 to 256, not %d", c.Concurrency)
	want(c.Rate >= 0, "worker.rate: not negative, not %v", c.Rate)
	want(c.Burst >= 1, "worker.burst: at least 1, not %d", c.Burst)
	want(c.MaxAttempts >= 1, "worker.max_attempts: at least 1, not %d", c.MaxAttempts)
	want(c.RetryMin > 0 && c.RetryMin <= c.RetryMax, "worker.retry_min: above 0 and at most worker.retry_max, not %s", c.RetryMin)
	want(c.Lease >= 3*time.Second, "worker.lease: at least 3s, not %s", c.Lease)
	want(c.ShutdownTimeout > 0, "worker.shutdown_timeout: above 0, not %s", c.ShutdownTimeout)
	want(c.MaxFileSize > 0, "wildfire: the largest file must be above 0 bytes")
	want(c.UploadsPerDay >= 0, "wildfire.uploads_per_day: not negative, not %d", c.UploadsPerDay)
	want(c.QueriesPerDay >= 0, "wildfire.queries_per_day: not negative, not %d", c.QueriesPerDay)
	want(c.ReservePercent >= 0 && c.ReservePercent < 100, "wildfire.reserve_percent: from 0 to 99, not %d", c.ReservePercent)
	want(c.FirstPoll > 0 && c.FirstPoll <= c.MaxPoll, "verdicts.first_poll: above 0 and at most verdicts.max_poll, not %s", c.FirstPoll)
	want(c.Deadline >= c.FirstPoll, "verdicts.deadline: at least verdicts.first_poll, not %s", c.Deadline)
	want(c.MaliciousAge >= 0, "verdicts.malicious_age: not negative, not %s", c.MaliciousAge)
	want(c.BenignAge >= 0, "verdicts.benign_age: not negative, not %s", c.BenignAge)
	want(c.Recheck >= 0, "verdicts.recheck: not negative, not %s", c.Recheck)
	return errors.Join(errs...)
}

// Memory is how long a verdict answers for the same contents without asking again.
func (c Config) Memory(v wildfire.Verdict) time.Duration {
	if v.Malicious() {
		return c.MaliciousAge
	}
	return c.BenignAge
}

// Patience is how long the other jobs of a sample wait for the one that is at its upload. That job
// comes back by itself, also if its worker dies, unless it was removed by hand.
func (c Config) Patience() time.Duration { return 2*c.RetryMax + 4*c.Lease }

// Schedule says when a sample that WildFire has is asked about.
func (c Config) Schedule() Schedule { return Schedule{First: c.FirstPoll, Max: c.MaxPoll} }

// Backoff is how long to wait after so many counted tries.
func (c Config) Backoff(attempts int) time.Duration {
	return Backoff(attempts, c.RetryMin, c.RetryMax)
}

// SizeLimit is the largest file of a source that is uploaded, in bytes.
func (c Config) SizeLimit(source string) int64 {
	if n, ok := c.MaxFileSizes[source]; ok {
		return n
	}
	return c.MaxFileSize
}
