package pipeline

import "time"

// Schedule says when to ask about a sample again. The times depend only on the time of submission,
// so a new leader can compute them without stored state.
type Schedule struct {
	First time.Duration // from the submission to the first question
	Max   time.Duration // longest time between two questions
}

// Next returns the first time after now for a sample that was submitted at the given time. The
// intervals double from First to Max.
func (s Schedule) Next(submitted, now time.Time) time.Time {
	at, step := submitted.Add(s.First), s.First
	for !at.After(now) {
		step = min(step*2, s.Max)
		if behind := now.Sub(at); step == s.Max && behind > step {
			at = at.Add(behind / step * step) // skip long periods in one step
		}
		at = at.Add(step)
	}
	return at
}
