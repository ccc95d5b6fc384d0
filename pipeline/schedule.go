package pipeline

import "time"

// schedule says when a sample is asked about again. The times follow from the
// submission alone, so they need no memory: whoever becomes the batcher knows them.
type schedule struct {
	first time.Duration // from the submission to the first question
	max   time.Duration // longest time between two questions
}

// next is the first time after now, for a sample that was submitted at a time. The
// distances double from first to max.
func (s schedule) next(submitted, now time.Time) time.Time {
	at, step := submitted.Add(s.first), s.first
	for !at.After(now) {
		step = min(step*2, s.max)
		if behind := now.Sub(at); step == s.max && behind > step {
			at = at.Add(behind / step * step) // years in one stride
		}
		at = at.Add(step)
	}
	return at
}
