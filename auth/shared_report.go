package auth

import (
	"context"
	"errors"
	"time"
)

// reportTries bounds how often a report is written again after another process was ahead.
const reportTries = 5

// reportAccepted publishes that a service took the token with the given fingerprint. It
// ends a cool-down that began because another process met a refusal of the same token.
func (f *shared) reportAccepted(ctx context.Context, id string) {
	_, _ = f.report(ctx, id, func(r *record) bool {
		if r.Worked {
			return false
		}
		r.Worked = true
		if r.Cool != nil && r.Cool.Refused == id {
			r.Cool = nil
		}
		return true
	})
}

// reportRefused publishes that a service refused the token with the given fingerprint
// while it was fresh, and that no other one is to be asked for before the cool-down ends.
// Where another process knows that the token worked, the cool-down ends here instead.
func (f *shared) reportRefused(ctx context.Context, id string, e AuthError) {
	until := time.Now().Add(e.RetryAfter)
	v, ok := f.report(ctx, id, func(r *record) bool {
		if r.Worked || r.Cool.remaining(f.wall()) > 0 {
			return false
		}
		r.Rejected = id
		r.Cool = newCoolNote(&e, f.wall(), time.Until(until), 1)
		r.Cool.Refused = id
		r.Cool.Grant = r.Grant
		return true
	})
	if ok {
		f.source.refusalShared(id, v)
	}
}

// report changes the record if it is about the token with the given fingerprint and change
// returns true. It returns the record as it is then; ok is false where there is none or it
// could not be written.
func (f *shared) report(ctx context.Context, id string, change func(*record) bool) (v view, ok bool) {
	for range reportTries {
		v, err := f.read(ctx)
		if err != nil || v.Token == "" || Fingerprint(v.Token) != id {
			return view{}, false
		}

		next := v.record
		if !change(&next) {
			return v, true
		}
		revision, err := f.write(ctx, v, next)
		if err == nil {
			return view{next, revision, v.at}, true
		}
		if !errors.Is(err, ErrKeyConflict) {
			return view{}, false
		}
	}
	return view{}, false
}

// follow applies a record that another process may have changed: its token, whether that
// worked, and the end of a cool-down. h is the record's token, nil where it has none.
func (s *Source) follow(v view, h *held) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed {
		return
	}
	if h != nil {
		s.learn(h)
		if v.Rejected != h.id {
			s.adopt(h)
		}
	}
	if s.cool.revision != 0 && v.revision > s.cool.revision && v.Cool.remaining(s.shared.wall()) == 0 {
		s.endCooldown()
	}
}

// refusalShared applies what the record says about a fresh token that was refused here: another
// process may know that it worked.
func (s *Source) refusalShared(id string, v view) {
	s.mu.Lock()
	defer s.mu.Unlock()

	h := s.current.Load()
	switch {
	case h == nil || h.id != id:
	case v.Worked && !h.worked.Load():
		s.accept(h)
	case s.cool.refused == id:
		s.cool.revision = v.revision
	}
}

// learn marks the current token as one that worked if h, the same token as another process
// shared it, says so. mu is held.
func (s *Source) learn(h *held) {
	cur := s.current.Load()
	if cur != nil && cur.id == h.id && h.worked.Load() && !cur.worked.Load() {
		s.accept(cur)
	}
}

// adopt makes a token of the fleet the current one where that is an improvement. mu is held.
func (s *Source) adopt(h *held) {
	now := time.Now()
	if h.phase(now) != fresh || h.id == s.lastRefused {
		return
	}
	cur := s.current.Load()
	if cur.servable(now) && (cur.id == h.id || !h.outlives(cur)) {
		return
	}

	s.install(h)
	s.log.Debug().Str("fingerprint", h.id).Uint64("generation", h.generation).Msg("using the fleet's token")
}
