package pipeline

import "time"

// Schedule says when a sample is asked about again. The times follow from the submission alone,
// so they need no memory: whoever becomes the leader knows them.
type Schedule struct {
	First time.Duration // from the submission to the first question
	Max   time.Duration // longest time between two questions
}

// Next is the first time after now, for a sample that was submitted at a time. The distances
// double from First to Max.
func (s Schedule) Next(submitted, now time.Time) time.Time {
	at, step := submitted.Add(s.First), s.First
	for !at.After(now) {
		step = min(step*2, s.Max)
		if behind := now.Sub(at); step == s.Max && behind > step {
			at = at.Add(behind / step * step) // years in one stride
		}
		at = at.Add(step)
	}
	return at
}
