package pipeline

import "time"

// Pacer spreads the remaining queries of a day over its remaining hours, and allows a burst after a
// quiet period. With plenty of budget each question is asked at once; with little, questions gather
// into larger batches. It is not safe for concurrent use.
type Pacer struct {
	Limit int // calls a day; 0: no pacing

	tokens float64   // calls that may be made now
	last   time.Time // of the last refill
}

// burst is how many calls may be made without a delay: one hour's share of the daily limit.
func (p *Pacer) burst() float64 { return max(float64(p.Limit)/24, 1) }

// Delay returns how long the next call has to wait, given the number of calls that are left until
// the reset. If it returns 0, the call may be made now, and Delay has counted it.
func (p *Pacer) Delay(now time.Time, left int, reset time.Time) time.Duration {
	if p.Limit == 0 {
		return 0
	}

	perSecond := p.refill(now, left, reset)
	switch {
	case p.tokens >= 1:
		p.tokens--
		return 0
	case perSecond <= 0:
		return reset.Sub(now)
	}

	return max(time.Duration((1-p.tokens)/perSecond*float64(time.Second)), 1)
}

// Plenty reports whether so few calls were made recently that one may be used for work that can
// wait. The arguments are those of Delay.
func (p *Pacer) Plenty(now time.Time, left int, reset time.Time) bool {
	if p.Limit == 0 {
		return true
	}
	p.refill(now, left, reset)

	return p.tokens > p.burst()/2
}

// refill adds the calls that have become possible since the last refill, and returns how many
// become possible per second.
func (p *Pacer) refill(now time.Time, left int, reset time.Time) (perSecond float64) {
	if p.last.IsZero() {
		p.last = now
		p.tokens = p.burst()
	}
	perSecond = float64(left) / max(reset.Sub(now).Seconds(), 1)
	elapsed := max(now.Sub(p.last).Seconds(), 0) // the clock may have been set back
	p.tokens = min(p.tokens+elapsed*perSecond, p.burst())
	p.last = now

	return perSecond
}
