// Package judge answers, for programs that ask about contents and wait, what WildFire's verdict is.
//
// A [Judge] looks contents up by their SHA-256, hands them in where no verdict is known, and waits
// for their final event. An answer comes from a finished verdict alone, of the ledger or of the
// job's final event; everything else is "no verdict", with the reason. What that means for whoever
// asked is theirs to say.
//
// A [Spool] holds contents that come as a stream, and hashes them meanwhile.
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

// Queue is what a Judge needs of the pipeline.
type Queue interface {
	Sample(ctx context.Context, key string) (queue.SampleEntry, error)
	Await(ctx context.Context, ref pipeline.Ref) (results.Event, error)
}

// Intake takes what is submitted.
type Intake interface {
	Submit(ctx context.Context, j pipeline.Job, c queue.Content) (queue.Receipt, error)
}

// Config is what a Judge is made with. Every field is required.
type Config struct {
	Queue  Queue
	Intake Intake

	// Memory is how long a verdict answers for the same contents.
	Memory func(wildfire.Verdict) time.Duration
}

// The limits of a Judge.
const (
	lookTimeout   = 10 * time.Second // of the question whether a verdict is known
	submitTimeout = 30 * time.Second // until what was submitted is durable
	submissions   = 64               // at a time
	waits         = 256              // at a time; each is a consumer on the server
)

// Judge is safe for concurrent use.
type Judge struct {
	cfg    Config
	submit chan struct{}
	wait   chan struct{}
	recent recent
}

// New makes a Judge.
func New(cfg Config) *Judge {
	return &Judge{cfg: cfg, submit: make(chan struct{}, submissions), wait: make(chan struct{}, waits)}
}

// Contents are bytes that can be read more than once, while whoever has them keeps them.
type Contents struct {
	SHA256 string // 64 lower-case hexadecimal digits
	Size   int64  // in bytes
	Open   func() (io.ReadCloser, error)
}

// Outcome is what is known of contents.
type Outcome struct {
	Decided bool             // Verdict is WildFire's
	Verdict wildfire.Verdict // where Decided
	Reason  string           // why there is none: "pending", or the reason of a failed event
}

// Pending is the reason of contents that were submitted and have no final event yet.
const Pending = "pending"

// Malicious reports whether there is a verdict, and it is malware, grayware, phishing or c2.
func (o Outcome) Malicious() bool { return o.Decided && o.Verdict.Malicious() }

// String is the verdict's word, or the reason why there is none.
func (o Outcome) String() string {
	if o.Decided {
		return o.Verdict.String()
	}

	return o.Reason
}

// Known looks for a verdict that is known here and not too old to count. One that was read is
// remembered for a few seconds. Its error says that the ledger could not be read.
func (j *Judge) Known(ctx context.Context, sha256 string) (Outcome, bool, error) {
	if v, ok := j.recent.get(sha256, time.Now()); ok {
		return Outcome{Decided: true, Verdict: v}, true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	s, err := j.cfg.Queue.Sample(ctx, sha256)
	if err != nil {
		return Outcome{}, false, fmt.Errorf("look for a verdict: %w", err)
	}
	v := wildfire.Verdict(s.Verdict)
	if s.State != pipeline.StateVerdict || time.Since(s.CheckedAt) > j.cfg.Memory(v) {
		return Outcome{}, false, nil
	}
	j.recent.put(sha256, v, time.Now())

	return Outcome{Decided: true, Verdict: v}, true, nil
}

// Submit submits contents and returns once they are durable. They must still be what was hashed.
// Its error says that they may not have been accepted.
func (j *Judge) Submit(ctx context.Context, job pipeline.Job, c Contents) error {
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	select {
	case j.submit <- struct{}{}:
		defer func() { <-j.submit }()
	case <-ctx.Done():
		return fmt.Errorf("submit: %d submissions are under way: %w", submissions, ctx.Err())
	}

	job.SHA256 = c.SHA256
	_, err := j.cfg.Intake.Submit(ctx, job, queue.FromFile(c.Size, c.Open))

	return err
}

// Wait waits for the final event of a job until ctx ends.
func (j *Judge) Wait(ctx context.Context, ref pipeline.Ref) Outcome {
	select {
	case j.wait <- struct{}{}:
		defer func() { <-j.wait }()
	case <-ctx.Done():
		return Outcome{Reason: Pending}
	}

	ev, err := j.cfg.Queue.Await(ctx, ref)
	switch {
	case err != nil: // ErrPending: there is no other
		return Outcome{Reason: Pending}
	case ev.Data.VerdictCode != nil:
		return Outcome{Decided: true, Verdict: wildfire.Verdict(*ev.Data.VerdictCode)}
	case ev.Data.Error != nil:
		return Outcome{Reason: string(ev.Data.Error.Reason)}
	}

	return Outcome{Reason: Pending}
}

// Refused reports whether an error of Submit says that these contents can never be accepted.
func Refused(err error) bool {
	return errors.Is(err, pipeline.ErrInvalidJob) || errors.Is(err, pipeline.ErrContentChanged) || errors.Is(err, queue.ErrTooLarge)
}
