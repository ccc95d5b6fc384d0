package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"backburn/pipeline"
	"backburn/results"
)

// auditTimeout limits each of the two writes of Audited.
const auditTimeout = 10 * time.Second

// ErrUnrecorded means that the audit trail of an action is incomplete: the first or the last event
// is missing.
var ErrUnrecorded = errors.New("the action cannot be recorded")

// Audited carries out a person's action between two audit events. The first is durable before the
// action starts. If it cannot be written, the action is not carried out and the error wraps
// ErrUnrecorded. The second event has the outcome and is written even if ctx has ended. If it
// cannot be written, the error wraps ErrUnrecorded and says what was done. Audited sets the ID and
// the status of the action.
func (e *Events) Audited(ctx context.Context, a results.Audit, do func(context.Context) (result string, err error)) (string, error) {
	a.ID = rand.Text()
	a.Status = results.AuditRequested
	if err := e.publishAudit(ctx, a); err != nil {
		return "", fmt.Errorf("%w, so it was not carried out: %w", ErrUnrecorded, err)
	}

	result, err := do(ctx)
	a.Status = results.AuditDone
	a.Result = result
	if err != nil {
		a.Status = results.AuditFailed
		a.Result = err.Error()
	}
	if perr := e.publishAudit(context.WithoutCancel(ctx), a); perr != nil {
		if err == nil {
			err = fmt.Errorf("it was done: %s", result)
		}
		return result, fmt.Errorf("%w: %w: %w", err, ErrUnrecorded, perr)
	}

	return result, err
}

func (e *Events) publishAudit(ctx context.Context, a results.Audit) error {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()

	return e.Publish(ctx, results.Event{
		Type: results.Audited,
		Time: time.Now().UTC(),
		Data: results.Data{Source: results.AuditSource, Audit: &a},
	})
}

// AuditLetter sets those fields of an audit event that describe a dead letter and its job. It
// returns ErrNoLetter if the letter does not exist.
func (d *DeadLetters) AuditLetter(ctx context.Context, a *results.Audit, seq uint64) error {
	l, err := d.Get(ctx, seq)
	if err != nil {
		return err
	}

	a.Letter = seq
	if l.Job.ID != "" {
		a.Job = l.Job.Ref().String()
	}
	if key := pipeline.SampleKey(l.Job); pipeline.ValidSHA256(key) {
		a.SHA256 = key
	}
	a.URL = l.Job.URL

	return nil
}
