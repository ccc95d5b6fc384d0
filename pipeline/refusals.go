package pipeline

import (
	"sync"
	"time"
)

// Refusals finds out whether an answer such as 403 is about one sample or about every upload: a
// proxy may refuse one file, but WildFire refuses every file if the credential has no license. The
// outcomes of other uploads decide. It is safe for concurrent use.
type Refusals struct {
	mu            sync.Mutex
	refused       map[string]refusedSample // by sample
	sinceAccepted int                      // samples refused since one was last accepted
}

type refusedSample struct {
	othersSucceeded bool // another sample was accepted after the refusal
	times           int  // how often it was refused; no longer counted once another sample was accepted
}

const (
	// maxRefusals bounds the samples that are remembered. At this number, all are forgotten, which
	// costs each of them one more attempt.
	maxRefusals = 10_000

	// If this many samples are refused and none is accepted, the samples are not at fault.
	refusalsBeforePause = 5

	// The delay before a refused sample is tried again. It doubles each time. Other samples do
	// not wait for it.
	minRefusalDelay = time.Second
	maxRefusalDelay = 5 * time.Minute
)

// Accepted records that WildFire processed a sample (Disposition.Answered). It need not have
// accepted the contents: if it rejected them for good, the answer also shows that uploads work. In
// this file, "accepted" always has this meaning.
func (r *Refusals) Accepted(sample string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.refused, sample)
	if r.sinceAccepted == 0 {
		return
	}

	for key, s := range r.refused {
		s.othersSucceeded = true
		r.refused[key] = s
	}
	r.sinceAccepted = 0
}

// Judge decides what to do about a refused sample. If another sample was accepted after an earlier
// refusal of this one, the attempt is counted. Otherwise the sample is tried again later, without
// counting; if several samples were refused and none was accepted, uploads are paused, too.
func (r *Refusals) Judge(sample string, d Disposition) Disposition {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.refused[sample].othersSucceeded {
		d.Action = Retry
		d.Message = "refused again, while other files are accepted: " + d.Message
		return d
	}

	times := r.count(sample)
	d.Doubted = true
	d.Action = Defer
	d.Delay = min(minRefusalDelay<<min(times-1, 20), maxRefusalDelay)
	if r.sinceAccepted >= refusalsBeforePause {
		d.Action = PauseFleet
	}

	return d
}

// count records a refusal of a sample, and returns how often the sample was refused.
func (r *Refusals) count(sample string) int {
	if len(r.refused) >= maxRefusals {
		r.refused = nil
	}
	if r.refused == nil {
		r.refused = map[string]refusedSample{}
		r.sinceAccepted = 0
	}

	s, known := r.refused[sample]
	if !known {
		r.sinceAccepted++
	}
	s.times++
	r.refused[sample] = s

	return s.times
}
