package pipeline

import "time"

// Pacer spreads what is left of a day's queries over what is left of the day, with some to
// spend at once after a quiet while. When budget is plentiful a question is asked as soon as it
// comes; when it is scarce the batches grow by themselves. It is not safe for concurrent use.
type Pacer struct {
	Limit int // a day; 0: no pacing

	tokens float64
	last   time.Time
}

// burst is how many calls may follow each other: an hour's worth of a full day.
func (p *Pacer) burst() float64 { return max(float64(p.Limit)/24, 1) }

// Delay is how long the next call has to wait at a time, with so many left until reset.
// Zero means now, and counts the call as made.
func (p *Pacer) Delay(now time.Time, left int, reset time.Time) time.Duration {
	if p.Limit == 0 {
		return 0
	}
	if p.last.IsZero() {
		p.last, p.tokens = now, p.burst()
	}
	perSecond := float64(left) / max(reset.Sub(now).Seconds(), 1)
	p.tokens = min(p.tokens+max(now.Sub(p.last).Seconds(), 0)*perSecond, p.burst()) // clocks are set back
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

// Plenty reports whether so little was asked lately that a call may be spent on what is not
// urgent at all.
func (p *Pacer) Plenty() bool { return p.Limit == 0 || p.last.IsZero() || p.tokens > p.burst()/2 }
