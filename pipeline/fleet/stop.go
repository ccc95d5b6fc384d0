package fleet

import (
	"context"
	"errors"
	"time"

	"backburn/pipeline"
)

// Stop pauses a budget for the whole fleet until a time, since the person by wants that. It takes the
// place of a pause for a fault, and of what another person said; no call that succeeds ends it, only its
// end or Resume. It returns ErrSpent, with the pause, where the budget is used up for longer than that.
func Stop(ctx context.Context, s *Store, b pipeline.Budget, by, reason string, now, until time.Time) (Pause, error) {
	next := Pause{Until: until.UTC().Round(0), Reason: "paused by " + by, By: by}
	if reason != "" {
		next.Reason += ": " + reason
	}

	var spent error
	err := Change(ctx, s, pausePrefix+string(b), func(p *Pause) bool {
		spent = nil
		if p.Spent && p.holds(now) && !p.Until.Before(next.Until) {
			next = *p
			spent = ErrSpent
			return false
		}
		*p = next
		return true
	})

	return next, errors.Join(err, spent)
}

// Resume ends the pause of a budget, whoever began it, and returns it; the zero Pause where there was none
// in force. It returns ErrSpent, with the pause, where the budget is used up.
func Resume(ctx context.Context, s *Store, b pipeline.Budget, now time.Time) (Pause, error) {
	var was Pause
	var spent error
	err := Change(ctx, s, pausePrefix+string(b), func(p *Pause) bool {
		was = *p
		spent = nil
		switch {
		case !p.holds(now):
			was = Pause{}
			return false
		case p.Spent:
			spent = ErrSpent
			return false
		}
		*p = Pause{}
		return true
	})

	return was, errors.Join(err, spent)
}

// How long a person may pause a budget for: what is forgotten ends by itself.
const (
	ShortestStop = time.Minute
	LongestStop  = 7 * 24 * time.Hour
)
