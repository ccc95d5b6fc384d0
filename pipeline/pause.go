package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Budget is one of WildFire's two daily allowances, and what a pause stops.
type Budget string

// The budgets. They are spent, and parked, apart.
const (
	Uploads Budget = "uploads"
	Queries Budget = "queries"
)

// Pause says that a budget is not to be touched by anybody in the fleet until a time.
type Pause struct {
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
	Streak int       `json:"streak,omitempty"` // pauses for the same cause without a success between them

	// Probing is set when the pause is over and one worker finds out, with one call, whether it
	// really is. The others wait for what comes of that.
	Probing bool `json:"probing,omitempty"`
}

// pauses is the fleet's view of what is paused, kept in the control bucket and watched.
type pauses struct {
	q    *Queue
	now  func() time.Time
	tick time.Duration // see WithTick

	mu      sync.Mutex
	current map[Budget]Pause
	changed chan struct{} // closed and replaced at every change
}

const pausePrefix = "pause."

func newPauses(q *Queue) *pauses {
	return &pauses{q: q, now: time.Now, tick: defaultTick, current: map[Budget]Pause{}, changed: make(chan struct{})}
}

// run follows the pauses of the fleet until ctx ends.
func (p *pauses) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := p.follow(ctx); err != nil && ctx.Err() == nil {
			_ = sleep(ctx, time.Second)
		}
	}
	return nil
}

func (p *pauses) follow(ctx context.Context) error {
	w, err := p.q.control.Watch(ctx, pausePrefix+">")
	if err != nil {
		return fmt.Errorf("watch pauses: %w", err)
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-w.Updates():
			if !ok {
				return errors.New("the watch on pauses ended")
			}
			if e == nil {
				continue
			}
			var next Pause
			if e.Operation() == jetstream.KeyValuePut && json.Unmarshal(e.Value(), &next) != nil {
				continue
			}
			p.set(Budget(e.Key()[len(pausePrefix):]), next)
		}
	}
}

func (p *pauses) set(b Budget, next Pause) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current[b] == next {
		return
	}
	p.current[b] = next
	close(p.changed)
	p.changed = make(chan struct{})
}

// active returns the pause of a budget that is in force, and what to wait on for news.
func (p *pauses) active(b Budget) (Pause, bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.current[b]
	return c, p.now().Before(c.Until), p.changed
}

// long is active for a pause that lasts longer than jobs are kept in hand.
func (p *pauses) long(b Budget) (Pause, bool, <-chan struct{}) {
	c, on, changed := p.active(b)
	return c, on && c.Until.Sub(p.now()) > shortPause, changed
}

// wait blocks while the budget is paused. When a pause has run out, one caller of the whole
// fleet gets through, as the probe: its success (healed) lets the others go on at once.
func (p *pauses) wait(ctx context.Context, b Budget) error {
	for {
		c, on, changed := p.active(b)
		if c.Reason == "" {
			return nil
		}
		if !on {
			won, err := p.probe(ctx, b, c)
			if err != nil || won {
				return err
			}
			continue
		}
		t := time.NewTimer(min(c.Until.Sub(p.now()), p.tick))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

// probe makes the caller the one that tries, if nobody else was faster. Should it never tell
// what came of it, another one tries after a while.
func (p *pauses) probe(ctx context.Context, b Budget, over Pause) (bool, error) {
	stored, rev, err := control[Pause](ctx, p.q, pausePrefix+string(b))
	if err != nil {
		return false, err
	}
	if stored != over {
		p.set(b, stored)
		return false, nil
	}
	next := over
	next.Probing, next.Until = true, p.now().Add(firstPause).UTC().Round(0)
	_, err = p.q.save(ctx, p.q.control, pausePrefix+string(b), next, rev)
	if errors.Is(err, errConflict) {
		return false, nil
	}
	if err == nil {
		p.set(b, next)
	}
	return err == nil, err
}

// pause stops a budget for the whole fleet until a time. Of two pauses the later end counts.
func (p *pauses) pause(ctx context.Context, b Budget, next Pause) error {
	next.Until = next.Until.UTC().Round(0)
	for {
		cur, rev, err := control[Pause](ctx, p.q, pausePrefix+string(b))
		if err != nil {
			return err
		}
		if rev != 0 && !cur.Probing && !cur.Until.Before(next.Until) {
			p.set(b, cur)
			return nil
		}
		_, err = p.q.save(ctx, p.q.control, pausePrefix+string(b), next, rev)
		if errors.Is(err, errConflict) {
			continue
		}
		if err == nil {
			p.set(b, next)
		}
		return err
	}
}

// park stops a budget that is used up until it comes back. A call that is refused just
// after the reset means that the service's day is not over yet: another ten minutes.
func (p *pauses) park(ctx context.Context, b Budget) (Pause, error) {
	now := p.now().UTC()
	next := Pause{Until: resetAfter(now), Reason: "today's " + string(b) + " are used up"}
	if now.Sub(now.Truncate(24*time.Hour)) < 30*time.Minute {
		next.Until = now.Add(longestPause)
	}
	return next, p.pause(ctx, b, next)
}

// grow pauses a budget after a fault that no other call would get around: 30 seconds at
// first, doubling to ten minutes until a call succeeds. Workers that met the fault together
// pause once.
func (p *pauses) grow(ctx context.Context, b Budget, reason string) error {
	cur, on, _ := p.active(b)
	if on && !cur.Probing {
		return nil
	}
	next := Pause{Reason: reason}
	if cur.Reason != "" {
		next.Streak = min(cur.Streak+1, 10)
	}
	next.Until = p.now().Add(min(firstPause<<next.Streak, longestPause))
	return p.pause(ctx, b, next)
}

// healed ends a pause that is over, or being probed, after a success.
func (p *pauses) healed(ctx context.Context, b Budget) {
	cur, on, _ := p.active(b)
	if cur.Reason == "" || (on && !cur.Probing) {
		return
	}
	stored, rev, err := control[Pause](ctx, p.q, pausePrefix+string(b))
	if err != nil || rev == 0 || stored != cur {
		return
	}
	if _, err := p.q.save(ctx, p.q.control, pausePrefix+string(b), Pause{}, rev); err == nil {
		p.set(b, Pause{})
	}
}

const (
	firstPause   = 30 * time.Second
	longestPause = 10 * time.Minute

	// A pause that lasts longer than this is not waited out with jobs in hand.
	shortPause = 2 * time.Minute
)
