package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

// Operator carries out the actions of one person, at the dashboard or with a command. Each action
// publishes audit events, and the first is durable before anything is done (see
// queue.Events.Audited).
type Operator struct {
	Queue  *queue.Queue
	Who    results.Audit       // who acts: its fields By, Via and From are set
	Replay queue.ReplayOptions // where Retry finds the contents

	// Ask sends a question to the fleet's poller. Recheck needs it.
	Ask func(context.Context, poller.Question) (poller.Answer, error)
}

// Retry submits the job of a dead letter again. See queue.DeadLetters.Replay.
func (o Operator) Retry(ctx context.Context, letter uint64) (queue.Replayed, error) {
	var done queue.Replayed
	err := o.withLetter(ctx, results.AuditRetry, letter, func(ctx context.Context) (_ string, err error) {
		done, err = o.Queue.Dead().Replay(ctx, letter, o.Replay)
		return "submitted again as job " + done.Job, err
	})

	return done, err
}

// Drop removes a dead letter permanently. See queue.DeadLetters.Drop.
func (o Operator) Drop(ctx context.Context, letter uint64) error {
	return o.withLetter(ctx, results.AuditDrop, letter, func(ctx context.Context) (string, error) {
		return "removed", o.Queue.Dead().Drop(ctx, letter)
	})
}

// withLetter performs an action on a dead letter, and publishes the audit events of the action.
func (o Operator) withLetter(ctx context.Context, action results.AuditAction, letter uint64, do func(context.Context) (string, error)) error {
	a := o.Who
	a.Action = action
	if err := o.Queue.Dead().AuditLetter(ctx, &a, letter); err != nil {
		return err
	}
	_, err := o.Queue.Events().Audited(ctx, a, do)

	return err
}

// ErrNoAnswer means that there was no leader, or WildFire did not answer.
var ErrNoAnswer = errors.New("no answer from WildFire in time; `backburn status` and the parts of the leading worker may show why")

// Recheck asks WildFire for the current verdict of contents or, if url is not empty, of a link,
// even if the fleet already has one. The query is part of the fleet's next call, and may use the
// reserve of the day's budget. Jobs that wait for the verdict get it, and a changed verdict is
// published. Recheck returns poller.ErrQueriesPaused while queries are paused, and ErrNoAnswer if
// ctx reaches its deadline first.
func (o Operator) Recheck(ctx context.Context, sha256, url string) (wildfire.Verdict, error) {
	a := o.Who
	a.Action = results.AuditRecheck
	a.SHA256 = sha256
	a.URL = url
	question := poller.Question{Key: sha256, URL: url, Urgent: true, Recheck: true}
	if url != "" {
		question.Key = pipeline.LinkKey(url)
	}

	var verdict wildfire.Verdict
	_, err := o.Queue.Events().Audited(ctx, a, func(ctx context.Context) (string, error) {
		answer, err := o.Ask(ctx, question)
		verdict = answer.Verdict
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return "", ErrNoAnswer
		case err != nil:
			return "", err
		case verdict == wildfire.Unknown:
			return "WildFire does not know the sample", nil
		}

		return "WildFire says: " + verdict.String(), nil
	})

	return verdict, err
}

// Pause stops all uploads for d. If the budget is used up for longer than that, it returns
// fleet.ErrSpent and the pause until the budget is renewed.
func (o Operator) Pause(ctx context.Context, reason string, d time.Duration) (fleet.Pause, error) {
	now := time.Now()
	a := o.Who
	a.Action = results.AuditPause
	a.Until = now.Add(d).UTC().Truncate(time.Second)
	a.Reason = reason

	var p fleet.Pause
	_, err := o.Queue.Events().Audited(ctx, a, func(ctx context.Context) (_ string, err error) {
		p, err = fleet.PauseManually(ctx, o.Queue.Control(), pipeline.Uploads, a.By, reason, now, a.Until)
		return "uploads are paused until " + p.Until.Format(time.RFC3339), err
	})

	return p, err
}

// Resume ends the pause of uploads and returns it, or the zero Pause if there was none. If the
// budget is used up, it returns fleet.ErrSpent and the pause that remains.
func (o Operator) Resume(ctx context.Context) (fleet.Pause, error) {
	a := o.Who
	a.Action = results.AuditResume

	var p fleet.Pause
	_, err := o.Queue.Events().Audited(ctx, a, func(ctx context.Context) (_ string, err error) {
		p, err = fleet.Resume(ctx, o.Queue.Control(), pipeline.Uploads, time.Now())
		if p.Until.IsZero() {
			return "uploads were not paused", err
		}

		return fmt.Sprintf("uploads continue; they were %s", p.Reason), err
	})

	return p, err
}
