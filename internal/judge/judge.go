// Package judge finds WildFire's verdict for programs that ask about contents and wait for the
// answer.
//
// A [Judge] looks up contents by their SHA-256, submits them if no verdict is known, and waits for
// their final event. An answer comes only from a final verdict, in the ledger or in the job's final
// event. Everything else is "no verdict", with the reason. The caller decides what that means.
//
// A [Spool] stores contents that arrive as a stream, and hashes them.
package judge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

// Ledger finds what is known about contents, and waits for final events; queue.Ledger implements
// it.
type Ledger interface {
	Await(ctx context.Context, ref pipeline.Ref) (results.Event, error)
	Sample(ctx context.Context, key string) (queue.SampleEntry, error)
}

// Intake accepts submitted jobs.
type Intake interface {
	Submit(ctx context.Context, j pipeline.Job, c queue.Input) (queue.Receipt, error)
}

// Config has the dependencies of a Judge. Every field is required.
type Config struct {
	Ledger Ledger
	Intake Intake

	// ReuseDuration returns how long a verdict is reused for the same contents.
	ReuseDuration func(wildfire.Verdict) time.Duration
}

// The limits of a Judge.
const (
	lookupTimeout  = 10 * time.Second // for looking up a known verdict
	submitTimeout  = 30 * time.Second // for making a submission durable
	maxSubmissions = 64               // at a time
	maxWaits       = 8192             // at a time; each reads the ledger every few seconds
)

// Judge is safe for concurrent use.
type Judge struct {
	cfg         Config
	submitSlots chan struct{}
	waitSlots   chan struct{}
	recent      recent
}

// New makes a Judge.
func New(cfg Config) *Judge {
	return &Judge{cfg: cfg, submitSlots: make(chan struct{}, maxSubmissions), waitSlots: make(chan struct{}, maxWaits)}
}

// Contents are bytes that can be read more than once, as long as their owner keeps them.
type Contents struct {
	SHA256 string // 64 lower-case hexadecimal digits
	Size   int64  // in bytes
	Open   func() (io.ReadCloser, error)
}

// Outcome is the result for contents.
type Outcome struct {
	Decided bool             // there is a verdict
	Verdict wildfire.Verdict // if Decided

	// Reason says why there is none: "pending", "unrecognised" (a code without a name), or the
	// reason of a failed event.
	Reason string
}

// outcomeOf returns the outcome for a final verdict. A code without a name is no verdict, because
// it may stand for something malicious.
func outcomeOf(v wildfire.Verdict) Outcome {
	if _, named := wildfire.ParseVerdict(v.String()); !named {
		return Outcome{Reason: v.String()}
	}

	return Outcome{Decided: true, Verdict: v}
}

// Pending is the reason of contents that were submitted and have no final event yet.
const Pending = "pending"

// Malicious reports whether there is a verdict, and it is malware, grayware, phishing or c2.
func (o Outcome) Malicious() bool { return o.Decided && o.Verdict.Malicious() }

// String returns the name of the verdict, or the reason why there is none.
func (o Outcome) String() string {
	if o.Decided {
		return o.Verdict.String()
	}

	return o.Reason
}

// Known looks for a verdict in the ledger that has not expired. It caches verdicts for five
// seconds. An error means that the ledger could not be read.
func (j *Judge) Known(ctx context.Context, sha256 string) (Outcome, bool, error) {
	if v, ok := j.recent.get(sha256, time.Now()); ok {
		return Outcome{Decided: true, Verdict: v}, true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	s, err := j.cfg.Ledger.Sample(ctx, sha256)
	if err != nil {
		return Outcome{}, false, fmt.Errorf("look for a verdict: %w", err)
	}
	v := wildfire.Verdict(s.Verdict)
	if s.State != pipeline.StateVerdict || time.Since(s.CheckedAt) > j.cfg.ReuseDuration(v) {
		return Outcome{}, false, nil
	}
	out := outcomeOf(v)
	if !out.Decided {
		return Outcome{}, false, nil
	}
	j.recent.put(sha256, v, time.Now())

	return out, true, nil
}

// Submit submits contents and returns once they are durable. They must still match their hash. An
// error means that they may not have been accepted.
func (j *Judge) Submit(ctx context.Context, job pipeline.Job, c Contents) error {
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	select {
	case j.submitSlots <- struct{}{}:
		defer func() { <-j.submitSlots }()
	case <-ctx.Done():
		return fmt.Errorf("submit: %d submissions are in progress: %w", maxSubmissions, ctx.Err())
	}

	job.SHA256 = c.SHA256
	_, err := j.cfg.Intake.Submit(ctx, job, queue.FromFile(c.Size, c.Open))

	return err
}

// Wait waits for the final event of a job until ctx ends.
func (j *Judge) Wait(ctx context.Context, ref pipeline.Ref) Outcome {
	select {
	case j.waitSlots <- struct{}{}:
		defer func() { <-j.waitSlots }()
	case <-ctx.Done():
		return Outcome{Reason: Pending}
	}

	ev, err := j.cfg.Ledger.Await(ctx, ref)
	switch {
	case err != nil: // always ErrNoFinalEvent
		return Outcome{Reason: Pending}
	case ev.Data.VerdictCode != nil:
		return outcomeOf(wildfire.Verdict(*ev.Data.VerdictCode))
	case ev.Data.Error != nil:
		return Outcome{Reason: string(ev.Data.Error.Reason)}
	}

	return Outcome{Reason: Pending}
}

// Refused reports whether an error of Submit means that these contents can never be accepted.
func Refused(err error) bool {
	return errors.Is(err, pipeline.ErrInvalidJob) || errors.Is(err, pipeline.ErrContentChanged) || errors.Is(err, queue.ErrTooLarge)
}
