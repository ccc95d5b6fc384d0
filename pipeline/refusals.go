package pipeline

import (
	"sync"
	"time"
)

// Refusals finds out whether an answer such as 403 is about one sample or about every upload: a
// proxy may refuse one file, while a credential without a license has all of them refused. The
// outcomes of other uploads decide. Safe for concurrent use.
type Refusals struct {
	mu      sync.Mutex
	refused map[string]refusal // by sample
	open    int                // samples refused since the last success
}

type refusal struct {
	othersSucceeded bool // another sample has succeeded since
	times           int  // refusals without a success in between
}

const (
	// maxRefusals bounds the samples that are remembered. At this number, all are forgotten, which
	// costs each of them one more attempt.
	maxRefusals = 10_000

	// If this many samples are refused without any success, the samples are not at fault.
	refusalsBeforePause = 5

	// Delay before a refused sample is tried again; it grows each time. Other samples do not wait
	// for it.
	minRefusalDelay = time.Second
	maxRefusalDelay = 5 * time.Minute
)

// Accepted records that a sample was accepted.
func (r *Refusals) Accepted(sample string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.refused, sample)
	if r.open == 0 {
		return
	}

	for key, s := range r.refused {
		s.othersSucceeded = true
		r.refused[key] = s
	}
	r.open = 0
}

// Judge decides what to do about a refused sample. If others have succeeded since, the attempt is
// counted. If several samples were refused and none has succeeded since, the budget is paused.
// Until then the sample is postponed, uncounted, and others continue.
func (r *Refusals) Judge(sample string, d Disposition) Disposition {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.refused[sample].othersSucceeded {
		d.Action = Retry
		d.Message = "refused again, while other files get through: " + d.Message
		return d
	}

	times := r.count(sample)
	d.Doubted = true
	d.Action = Defer
	d.Delay = min(minRefusalDelay<<min(times-1, 20), maxRefusalDelay)
	if r.open >= refusalsBeforePause {
		d.Action = PauseFleet
	}

	return d
}

// count counts a refusal of a sample, and returns its number of refusals.
func (r *Refusals) count(sample string) int {
	if len(r.refused) >= maxRefusals {
		r.refused = nil
	}
	if r.refused == nil {
		r.refused = map[string]refusal{}
		r.open = 0
	}

	s, known := r.refused[sample]
	if !known {
		r.open++
	}
	s.times++
	r.refused[sample] = s

	return s.times
}
