package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
)

// Pause is a time in which the fleet does not use a budget.
type Pause struct {
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
	Streak int       `json:"streak,omitempty"` // after a fault: how many pauses came directly before this one, without a success in between; at most 10

	// Probing means that the original end of the pause has passed, and one worker makes a single
	// call to find out whether the fault is gone. The others wait for the result, at most until
	// Until.
	Probing bool `json:"probing,omitempty"`

	// Doubted means that single samples may be the cause: any success ends the pause.
	Doubted bool `json:"doubted,omitempty"`

	// By is the person who requested the pause; "" for a pause after a fault or for a spent budget.
	// A manual pause ends without a probe.
	By string `json:"by,omitempty"`

	// Spent means that the budget is used up. This is no fault.
	Spent bool `json:"spent,omitempty"`
}

// Pauses holds the fleet's pauses, kept in the store and watched. A pause applies in this process
// before it is written for the others. A Pauses is safe for concurrent use.
type Pauses struct {
	store *Store
	now   func() time.Time
	tick  time.Duration // how often waiting goroutines check the clock

	mu        sync.Mutex
	current   map[pipeline.Budget]Pause
	changed   chan struct{}             // closed and replaced at every change
	unwritten map[pipeline.Budget]Pause // not in the store yet

	writeDue chan struct{} // wakes writeQueued: there are pauses to write; capacity 1
}

const pausePrefix = "pause."

// NewPauses returns the pauses of a fleet. now returns the current time; waiting goroutines check
// it every tick.
func NewPauses(store *Store, now func() time.Time, tick time.Duration) *Pauses {
	return &Pauses{
		store:     store,
		now:       now,
		tick:      tick,
		current:   map[pipeline.Budget]Pause{},
		changed:   make(chan struct{}),
		unwritten: map[pipeline.Budget]Pause{},
		writeDue:  make(chan struct{}, 1),
	}
}

// Run follows the pauses of the fleet until ctx ends, and writes pauses that could not be written
// at first.
func (p *Pauses) Run(ctx context.Context) error {
	var writer sync.WaitGroup
	writer.Go(func() { p.writeQueued(ctx) })
	defer writer.Wait()

	_ = p.store.follow(ctx, pausePrefix+">", func(e jetstream.KeyValueEntry) {
		var next Pause
		if e.Operation() == jetstream.KeyValuePut && json.Unmarshal(e.Value(), &next) != nil {
			return
		}
		p.set(pipeline.Budget(e.Key()[len(pausePrefix):]), next)
	})

	return nil
}

// set applies a pause in this process.
func (p *Pauses) set(b pipeline.Budget, next Pause) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current[b] == next {
		return
	}
	p.current[b] = next
	close(p.changed)
	p.changed = make(chan struct{})
}

// Active returns the newest pause of a budget that this process knows of, whether that is active,
// and a channel that is closed when the pause of any budget changes.
func (p *Pauses) Active(b pipeline.Budget) (Pause, bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.current[b]
	return c, c.isActive(p.now()), p.changed
}

// isActive reports whether the pause is active. A pause after a fault or for a spent budget counts
// as ended if more of it is left than the longest pause of its kind lasts: it was written before
// the clock was set back, or by a process whose clock is ahead.
func (p Pause) isActive(now time.Time) bool {
	left := p.Until.Sub(now)
	longest := LongestFaultPause
	if p.Spent {
		longest = longestSpentPause
	}

	return left > 0 && (p.By != "" || left <= longest+clockSlack)
}

// ActiveLong is like Active, but a pause counts as active only if it lasts so long that workers
// should not hold jobs until its end.
func (p *Pauses) ActiveLong(b pipeline.Budget) (Pause, bool, <-chan struct{}) {
	c, on, changed := p.Active(b)
	return c, on && c.Until.Sub(p.now()) > shortPause, changed
}

// Wait blocks while the budget is paused. After any pause but a manual one, Wait first returns to
// only one caller in the whole fleet: that caller's call is the probe. If it succeeds
// (EndAfterSuccess), the other callers continue at once. If its result is not known within
// firstPause, another caller becomes the probe.
func (p *Pauses) Wait(ctx context.Context, b pipeline.Budget) error {
	for {
		c, on, changed := p.Active(b)
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

// probe makes the caller the probe, unless another caller was faster. A manual pause needs no
// probe: its record is removed, and the caller continues. probe returns false if the caller has to
// check the pause again.
func (p *Pauses) probe(ctx context.Context, b pipeline.Budget, ended Pause) (bool, error) {
	stored, rev, err := Get[Pause](ctx, p.store, pausePrefix+string(b))
	if err != nil {
		return false, err
	}
	if stored != ended {
		p.set(b, stored)
		return false, nil
	}
	next := ended
	next.Probing, next.Until = true, p.now().Add(firstPause).UTC().Round(0)
	if ended.By != "" {
		next = Pause{} // no fault caused this pause, so none can remain
	}
	_, err = p.store.Save(ctx, pausePrefix+string(b), next, rev)
	if errors.Is(err, pipeline.ErrConflict) {
		return false, nil
	}
	if err == nil {
		p.set(b, next)
	}
	return err == nil, err
}

// pause pauses a budget for the whole fleet until next.Until. If two pauses overlap, the one that
// ends later applies, but a pause that is Probing is always replaced. If the pause cannot be
// written within writeTimeout, it applies only in this process for now, and the caller gets an
// error. Run then tries to write it every second, as long as it is active here.
func (p *Pauses) pause(ctx context.Context, b pipeline.Budget, next Pause) error {
	next.Until = next.Until.UTC().Round(0)
	if local, on, _ := p.Active(b); !on || local.Probing || local.Until.Before(next.Until) {
		// Apply it here before the write, which may take long: calls that other goroutines are
		// about to make have to be stopped now.
		p.set(b, next)
	}

	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := p.write(ctx, b, next)
	if err != nil {
		p.queueWrite(b, next)
	}

	return err
}

// queueWrite makes writeQueued write a pause that could not be written.
func (p *Pauses) queueWrite(b pipeline.Budget, next Pause) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.unwritten[b] = next
	select {
	case p.writeDue <- struct{}{}:
	default:
	}
}

// writeQueued writes the pauses from queueWrite until ctx ends.
func (p *Pauses) writeQueued(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.writeDue:
		}

		p.mu.Lock()
		unwritten := p.unwritten
		p.unwritten = map[pipeline.Budget]Pause{}
		p.mu.Unlock()

		for b, next := range unwritten {
			for p.isCurrent(b, next) && p.write(ctx, b, next) != nil && pipeline.Sleep(ctx, time.Second) == nil {
			}
		}
	}
}

// isCurrent reports whether a pause is active and has not been replaced by another.
func (p *Pauses) isCurrent(b pipeline.Budget, pause Pause) bool {
	current, on, _ := p.Active(b)

	return on && current == pause
}

// write writes a pause to the store, unless an active pause there ends no earlier and is not
// Probing. That one then applies in this process, too.
func (p *Pauses) write(ctx context.Context, b pipeline.Budget, next Pause) error {
	for {
		cur, rev, err := Get[Pause](ctx, p.store, pausePrefix+string(b))
		if err != nil {
			return err
		}
		if rev != 0 && !cur.Probing && cur.isActive(p.now()) && !cur.Until.Before(next.Until) {
			p.set(b, cur)
			return nil
		}
		_, err = p.store.Save(ctx, pausePrefix+string(b), next, rev)
		if errors.Is(err, pipeline.ErrConflict) {
			continue
		}
		if err == nil {
			p.set(b, next)
		}
		return err
	}
}

// PauseSpent pauses a budget that is used up, until it is renewed. If WildFire refuses a call just
// after the reset, WildFire's day may not have ended yet, so the pause lasts for only ten minutes.
func (p *Pauses) PauseSpent(ctx context.Context, b pipeline.Budget) (Pause, error) {
	now := p.now().UTC()
	next := Pause{Until: pipeline.ResetAfter(now), Reason: "today's " + string(b) + " are used up", Spent: true}
	if now.Sub(now.Truncate(24*time.Hour)) < 30*time.Minute {
		next.Until = now.Add(LongestFaultPause)
	}
	return next, p.pause(ctx, b, next)
}

// PauseAfterFault pauses a budget after a fault that affects every call: 30 seconds at first,
// doubling up to ten minutes until a call succeeds. If several workers detect the fault at the same
// time, the budget is paused only once.
func (p *Pauses) PauseAfterFault(ctx context.Context, b pipeline.Budget, reason string) error {
	return p.pauseLonger(ctx, b, Pause{Reason: reason})
}

// PauseInDoubt is like PauseAfterFault, for a fault that may be caused by single samples.
func (p *Pauses) PauseInDoubt(ctx context.Context, b pipeline.Budget, reason string) error {
	return p.pauseLonger(ctx, b, Pause{Reason: reason, Doubted: true})
}

// pauseLonger pauses a budget. The length doubles with each pause since the last successful call,
// up to LongestFaultPause. It does nothing while another pause is active, unless that is Probing.
func (p *Pauses) pauseLonger(ctx context.Context, b pipeline.Budget, next Pause) error {
	cur, on, _ := p.Active(b)
	if on && !cur.Probing {
		return nil
	}
	if cur.Reason != "" {
		next.Streak = min(cur.Streak+1, 10)
	}
	next.Until = p.now().Add(min(firstPause<<next.Streak, LongestFaultPause))
	return p.pause(ctx, b, next)
}

// EndAfterSuccess removes the pause of a budget after a successful call. It leaves an active pause
// alone, unless that pause is Probing or Doubted.
func (p *Pauses) EndAfterSuccess(ctx context.Context, b pipeline.Budget) {
	cur, on, _ := p.Active(b)
	if cur.Reason == "" || (on && !cur.Probing && !cur.Doubted) {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	stored, rev, err := Get[Pause](ctx, p.store, pausePrefix+string(b))
	if err != nil || rev == 0 || stored != cur {
		return
	}
	if _, err := p.store.Save(ctx, pausePrefix+string(b), Pause{}, rev); err == nil {
		p.set(b, Pause{})
	}
}

// LongestFaultPause is the longest pause after a fault. A pause of a spent budget, or a manual one,
// may last longer.
const LongestFaultPause = 10 * time.Minute

const (
	// The longest pause of a spent budget: pipeline.ResetAfter is up to 90 seconds after midnight.
	longestSpentPause = 24*time.Hour + 90*time.Second

	// The length of the first pause after a fault, and the time for a probe.
	firstPause = 30 * time.Second

	// How far the clocks of a fleet may be apart.
	clockSlack = time.Minute

	// During a pause that lasts longer than this, workers do not hold jobs.
	shortPause = 2 * time.Minute

	// How long the caller that pauses a budget waits for the write.
	writeTimeout = 5 * time.Second
)

// PauseOf reads the active pause of a budget from the store; the zero Pause if there is none.
func PauseOf(ctx context.Context, s *Store, b pipeline.Budget, now time.Time) (Pause, error) {
	p, _, err := Get[Pause](ctx, s, pausePrefix+string(b))
	if err != nil || !p.isActive(now) {
		return Pause{}, err
	}

	return p, nil
}
