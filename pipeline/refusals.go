package pipeline

import (
	"sync"
	"time"
)

// Refusals finds out whether an answer such as 403 is about one sample or about every upload: a
// proxy may refuse one file, but WildFire refuses every file if the credential has no license. The
// outcomes of other uploads decide. It is safe for concurrent use.
type Refusals struct {
	mu             sync.Mutex
	refused        map[string]refusedSample // by sample
	sinceProcessed int                      // samples refused since WildFire last processed one
}

type refusedSample struct {
	othersProcessed bool // WildFire processed another sample after the refusal
	times           int  // how often it was refused; not counted once othersProcessed is set
}

const (
	// maxRefusals bounds the samples that are remembered. At this number, all are forgotten, which
	// costs each of them one more upload.
	maxRefusals = 10_000

	// If this many samples are refused and none is processed, the samples are not at fault.
	refusalsBeforePause = 5

	// The delay before a refused sample is tried again. It doubles each time. Other samples do
	// not wait for it.
	minRefusalDelay = time.Second
	maxRefusalDelay = 5 * time.Minute
)

// Processed records that WildFire processed a sample: it accepted the contents, or rejected them
// for good (Disposition.Processed). Both answers show that uploads work.
func (r *Refusals) Processed(sample string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.refused, sample)
	if r.sinceProcessed == 0 {
		return
	}

	for key, s := range r.refused {
		s.othersProcessed = true
		r.refused[key] = s
	}
	r.sinceProcessed = 0
}

// Judge decides what to do about a refused sample. If WildFire processed another sample after an
// earlier refusal of this one, the attempt is counted. Otherwise the sample is tried again later,
// without counting; if several samples were refused and none was processed, uploads are paused,
// too.
func (r *Refusals) Judge(sample string, d Disposition) Disposition {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.refused[sample].othersProcessed {
		d.Action = Retry
		d.Message = "refused again, although WildFire has processed other files: " + d.Message
		return d
	}

	times := r.count(sample)
	d.Doubted = true
	d.Action = Defer
	d.Delay = min(minRefusalDelay<<min(times-1, 20), maxRefusalDelay)
	if r.sinceProcessed >= refusalsBeforePause {
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
		r.sinceProcessed = 0
	}

	s, known := r.refused[sample]
	if !known {
		r.sinceProcessed++
	}
	s.times++
	r.refused[sample] = s

	return s.times
}
