package pipeline

import "time"

// Pacer spreads the remaining queries of a day over its remaining hours, and allows a burst after a
// quiet period. With plenty of budget each question is asked at once; with little, questions gather
// into larger batches. It is not safe for concurrent use.
type Pacer struct {
	Limit int // calls a day; 0: no pacing

	tokens float64
	last   time.Time
}

// burst is how many calls may be made without a delay: one hour's share of the daily limit.
func (p *Pacer) burst() float64 { return max(float64(p.Limit)/24, 1) }

// Delay returns how long the next call has to wait, given the number of calls that are left until
// the reset. If it returns 0, the call may be made now, and Delay has counted it.
func (p *Pacer) Delay(now time.Time, left int, reset time.Time) time.Duration {
	if p.Limit == 0 {
		return 0
	}
	if p.last.IsZero() {
		p.last, p.tokens = now, p.burst()
	}
	perSecond := float64(left) / max(reset.Sub(now).Seconds(), 1)
	p.tokens = min(p.tokens+max(now.Sub(p.last).Seconds(), 0)*perSecond, p.burst()) // the clock may have been set back
	p.last = now
	if p.tokens >= 1 {
		p.tokens--
		return 0
	}
	if perSecond <= 0 {
		return reset.Sub(now)
	}
	return time.Duration((1 - p.tokens) / perSecond * float64(time.Second))
}

// Plenty reports whether so few calls were made recently that one may be used for work that can
// wait.
func (p *Pacer) Plenty() bool { return p.Limit == 0 || p.last.IsZero() || p.tokens > p.burst()/2 }
