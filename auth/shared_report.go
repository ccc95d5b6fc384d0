package auth

import (
	"context"
	"errors"
	"time"
)

// reportTries limits how often a report is retried after another process wrote first.
const reportTries = 5

// reportAccepted records for the fleet that a service accepted the token with the given
// fingerprint. It ends a cool-down that another process started because of a refusal of the same
// token.
func (s *shared) reportAccepted(ctx context.Context, id string) {
	_, _ = s.report(ctx, id, func(r *record) bool {
		if r.Worked {
			return false
		}

		r.Worked = true
		if r.Cooldown != nil && r.Cooldown.Refused == id {
			r.Cooldown = nil
		}

		return true
	})
}

// reportRefused records for the fleet that a service refused the fresh token with the given
// fingerprint, and starts a cool-down, unless another process has recorded that the token worked.
// Its results are those of report.
func (s *shared) reportRefused(ctx context.Context, id string, e AuthError) (v view, ok bool) {
	until := time.Now().Add(e.RetryAfter)
	return s.report(ctx, id, func(r *record) bool {
		if r.Worked || r.Cooldown.remaining(s.wall()) > 0 {
			return false
		}

		r.Rejected = id
		r.Cooldown = newSharedCooldown(&e, s.wall(), time.Until(until), 1)
		r.Cooldown.Refused = id
		r.Cooldown.Grant = r.Grant

		return true
	})
}

// report changes the record if it concerns the token with the given fingerprint and change returns
// true. It returns the resulting record; ok is false if there is none or it could not be written.
func (s *shared) report(ctx context.Context, id string, change func(*record) bool) (v view, ok bool) {
	for range reportTries {
		v, err := s.read(ctx)
		if err != nil || v.Token == "" || Fingerprint(v.Token) != id {
			return view{}, false
		}

		next := v.record
		if !change(&next) {
			return v, true
		}

		revision, err := s.write(ctx, v, next)
		if err == nil {
			return view{next, revision, v.keys}, true
		}
		if !errors.Is(err, ErrKeyConflict) {
			return view{}, false
		}
	}

	return view{}, false
}
