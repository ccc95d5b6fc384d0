package pipeline

import "time"

// recent holds the samples that were written lately, as the batcher hears of them: most jobs
// that come to wait, and most verdicts, are about one of these, and need no reading. Half of
// it is forgotten at a time. It is not safe for concurrent use.
type recent struct {
	young, old map[string]recentSample
}

// recentSample is a sample at a revision of its key, which is true until the next one is heard of.
type recentSample struct {
	sample
	rev   uint64
	heard time.Time
}

const (
	recentSamples = 8192

	// What was heard longer ago is read again, should news have got lost.
	recentFor = 5 * time.Second
)

func (r *recent) put(key string, s recentSample) {
	if len(r.young) >= recentSamples/2 {
		r.young, r.old = nil, r.young
	}
	if r.young == nil {
		r.young = map[string]recentSample{}
	}
	r.young[key] = s
}

func (r *recent) get(key string, now time.Time) (recentSample, bool) {
	s, ok := r.young[key]
	if !ok {
		s, ok = r.old[key]
	}
	return s, ok && now.Sub(s.heard) < recentFor
}
