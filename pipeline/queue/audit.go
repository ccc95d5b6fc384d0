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

// auditTimeout bounds each of the two writes of Audited.
const auditTimeout = 10 * time.Second

// ErrUnrecorded says that an action has no audit event, or not its last one.
var ErrUnrecorded = errors.New("the action cannot be recorded")

// Audited does what a person wants done, between two audit events. The first is durable before
// anything is done: an action that cannot be recorded is not done, and the error wraps
// ErrUnrecorded. The second says what came of it, also where ctx ended meanwhile; where that cannot
// be written, the error wraps ErrUnrecorded, too, and says what was done. ID and Status of the
// action are filled in.
func (q *Queue) Audited(ctx context.Context, a results.Audit, do func(context.Context) (result string, err error)) (string, error) {
	a.ID = rand.Text()
	a.Status = results.AuditRequested
	if err := q.publishAudit(ctx, a); err != nil {
		return "", fmt.Errorf("%w, so nothing was done: %w", ErrUnrecorded, err)
	}

	result, err := do(ctx)
	a.Status = results.AuditDone
	a.Result = result
	if err != nil {
		a.Status = results.AuditFailed
		a.Result = err.Error()
	}
	if perr := q.publishAudit(context.WithoutCancel(ctx), a); perr != nil {
		if err == nil {
			err = fmt.Errorf("it was done: %s", result)
		}
		return result, fmt.Errorf("%w: %w: %w", err, ErrUnrecorded, perr)
	}

	return result, err
}

// publishAudit returns once the event is durable.
func (q *Queue) publishAudit(ctx context.Context, a results.Audit) error {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()

	return q.PublishEvent(ctx, results.Event{
		Type: results.Audited,
		Time: time.Now().UTC(),
		Data: results.Data{Source: results.AuditSource, Audit: &a},
	})
}

// AuditLetter fills in which dead letter an action is about. It returns ErrNoLetter where there is
// none.
func (q *Queue) AuditLetter(ctx context.Context, a *results.Audit, seq uint64) error {
	l, err := q.DeadLetter(ctx, seq)
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
