package worker

import (
	"sync"
	"time"

	"backburn/internal/backoff"
	"backburn/internal/health"
)

// sources knows which sources' files this worker cannot reach: for example, their folder is not
// mounted here, or this process may not read it. Their jobs are left to other workers. It is safe
// for concurrent use.
type sources struct {
	health *health.Registry

	mu     sync.Mutex
	faults map[string]*sourceFault
}

type sourceFault struct {
	inARow int       // how many tries in a row found a file unreachable; several may be of the same file
	last   time.Time // when a file was last unreachable
	until  time.Time // no job is requested from the source's own feed before this time
}

const (
	// If a file was unreachable this often in a row, the source as a whole is considered
	// unreachable.
	unreachableAfter = 2

	firstSourcePause   = 5 * time.Second
	longestSourcePause = time.Minute

	// The fault of a source ends if no file is unreachable for this time: others may have processed
	// the source's jobs, or somebody removed them.
	sourceFaultExpiry = 3 * longestSourcePause
)

func newSources(r *health.Registry) *sources {
	return &sources{health: r, faults: map[string]*sourceFault{}}
}

// recordReached records that a file of a source was opened.
func (s *sources) recordReached(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.faults[source] != nil {
		delete(s.faults, source)
		s.health.Part("source", source).OK()
	}
}

// recordUnreachable records that a file of a source could not be reached. first is true if the
// whole source is considered unreachable from now on; the caller logs that.
func (s *sources) recordUnreachable(source string, err error) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	f := s.faults[source]
	if f == nil || time.Since(f.last) >= sourceFaultExpiry {
		f = &sourceFault{}
		s.faults[source] = f
	}
	f.inARow++
	f.last = time.Now()
	if f.inARow >= unreachableAfter {
		s.health.Part("source", source).Fault(health.Fault{
			Reason:  "contents cannot be reached here, and are left to other workers: " + err.Error(),
			Remedy:  "mount the folder here, let this process read it, or correct worker.roots",
			Expires: sourceFaultExpiry,
		})
		f.until = time.Now().Add(backoff.Delay(f.inARow-unreachableAfter, firstSourcePause, longestSourcePause))
	}

	return f.inARow == unreachableAfter
}

// pause returns how long no job should be fetched from the source's own feed. Jobs of a source that
// shares a feed are still fetched, and redelivered one by one.
func (s *sources) pause(source string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()

	f := s.faults[source]
	if f == nil {
		return 0
	}

	return max(0, time.Until(f.until))
}
