package fleet

import (
	"context"
	"errors"
	"time"

	"backburn/pipeline"
)

// PauseManually pauses a budget for the whole fleet until a time. by is the name of the person who requests
// it. It replaces a pause after a fault and a pause by another person. It lasts until that time or
// Resume; a successful call does not end it. PauseManually returns ErrSpent, with the existing pause, if the
// budget is used up until that time or longer.
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

// Resume ends the pause of a budget, whatever its cause, and returns it, or the zero Pause if none
// was active. It returns ErrSpent, with the pause, if the budget is used up.
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

// Bounds of a pause by a person. The longest one ensures that a forgotten pause ends by itself.
const (
	ShortestManualPause = time.Minute
	LongestManualPause  = 7 * 24 * time.Hour
)
