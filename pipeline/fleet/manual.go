package fleet

import (
	"context"
	"errors"
	"time"

	"backburn/pipeline"
)

// PauseManually pauses a budget for the whole fleet until the given time, at the request of a
// person. That person's name is the parameter by. Only Resume or a newer manual pause ends the
// pause earlier: a successful call does not. The pause replaces any other, with one exception: if
// the budget is used up and is not renewed before the given time, PauseManually changes nothing,
// and returns the existing pause with ErrSpent.
func PauseManually(ctx context.Context, s *Store, b pipeline.Budget, by, reason string, now, until time.Time) (Pause, error) {
	next := Pause{Until: until.UTC().Round(0), Reason: "paused by " + by, By: by}
	if reason != "" {
		next.Reason += ": " + reason
	}

	var spent error
	err := Change(ctx, s, pausePrefix+string(b), func(p *Pause) bool {
		spent = nil
		if p.Spent && p.isActive(now) && !p.Until.Before(next.Until) {
			next = *p
			spent = ErrSpent
			return false
		}
		*p = next
		return true
	})

	return next, errors.Join(err, spent)
}

// Resume ends the pause of a budget and returns that pause, or the zero Pause if none was active.
// It does not end the pause of a budget that is used up, and returns that pause with ErrSpent.
func Resume(ctx context.Context, s *Store, b pipeline.Budget, now time.Time) (Pause, error) {
	var was Pause
	var spent error
	err := Change(ctx, s, pausePrefix+string(b), func(p *Pause) bool {
		was = *p
		spent = nil
		switch {
		case !p.isActive(now):
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

// Limits of the length of a manual pause. The upper limit ensures that a forgotten pause ends by
// itself.
const (
	ShortestManualPause = time.Minute
	LongestManualPause  = 7 * 24 * time.Hour
)
