package pipeline

import "sync"

// Refusals tells whether an answer such as 403 is about one sample or about everything that is
// sent: a filter on the way may refuse one file, and a credential without a license refuses all.
// What others met decides. Safe for concurrent use.
type Refusals struct {
	mu      sync.Mutex
	refused map[string]bool // samples that were refused; true: another sample got through since
	open    int             // those for which nothing got through since
}

// maxRefusals bounds what is remembered; beyond it everything is forgotten, which costs a try each.
const maxRefusals = 10_000

// Passed notes that a sample got through.
func (r *Refusals) Passed(sample string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.refused, sample)
	if r.open == 0 {
		return
	}

	for key := range r.refused {
		r.refused[key] = true
	}
	r.open = 0
}

// Judge turns a doubt about a refused sample into what is to be done: a counted try where others
// got through since, a pause where this or another sample was refused and nothing got through
// since, and the benefit of the doubt at first.
func (r *Refusals) Judge(sample string, d Disposition) Disposition {
	r.mu.Lock()
	defer r.mu.Unlock()

	passed, known := r.refused[sample]
	switch {
	case passed:
		d.Action = Retry
		d.Message = "refused again, while other files get through: " + d.Message
	case known || r.open > 0:
		d.Action = PauseFleet
		r.note(sample)
	default:
		d.Action = Defer
		r.note(sample)
	}

	return d
}

func (r *Refusals) note(sample string) {
	if len(r.refused) >= maxRefusals {
		r.refused = nil
	}
	if r.refused == nil {
		r.refused = map[string]bool{}
		r.open = 0
	}
	if _, known := r.refused[sample]; !known {
		r.open++
	}
	r.refused[sample] = false
}
