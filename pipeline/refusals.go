package pipeline

import (
	"sync"
	"time"
)

// Refusals tells whether an answer such as 403 is about one sample or about everything that is
// sent: a filter on the way may refuse one file, and a credential without a license refuses all.
// What others met decides. Safe for concurrent use.
type Refusals struct {
	mu      sync.Mutex
	refused map[string]refused // by sample
	open    int                // those for which nothing got through since
}

type refused struct {
	passed bool // another sample got through since
	times  int  // how often it was refused while nothing did
}

const (
	// maxRefusals bounds what is remembered; beyond it everything is forgotten, which costs a try
	// each.
	maxRefusals = 10_000

	// So many samples that are refused, with nothing that gets through, are no fault of theirs.
	refusedByAll = 5

	// A refused sample comes again after so long, then later each time. Nobody else waits for it.
	firstDoubt   = time.Second
	longestDoubt = 5 * time.Minute
)

// Passed notes that a sample got through.
func (r *Refusals) Passed(sample string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.refused, sample)
	if r.open == 0 {
		return
	}

	for key, s := range r.refused {
		s.passed = true
		r.refused[key] = s
	}
	r.open = 0
}

// Judge turns a doubt about a refused sample into what is to be done: a counted try where others
// got through since; a pause where several samples were refused and nothing got through since;
// until then the sample is put off, uncounted, and others go on.
func (r *Refusals) Judge(sample string, d Disposition) Disposition {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.refused[sample].passed {
		d.Action = Retry
		d.Message = "refused again, while other files get through: " + d.Message
		return d
	}

	times := r.note(sample)
	d.Doubted = true
	d.Action = Defer
	d.Delay = min(firstDoubt<<min(times-1, 20), longestDoubt)
	if r.open >= refusedByAll {
		d.Action = PauseFleet
	}

	return d
}

// note counts a refusal of a sample, and returns how often it was refused.
func (r *Refusals) note(sample string) int {
	if len(r.refused) >= maxRefusals {
		r.refused = nil
	}
	if r.refused == nil {
		r.refused = map[string]refused{}
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
