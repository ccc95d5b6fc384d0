package worker

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"backburn/pipeline"
)

// sources knows which sources' contents this worker cannot reach: their folder is not mounted here,
// or this process may not read it. Their jobs are left to other workers. It is safe for concurrent use.
type sources struct {
	mu     sync.Mutex
	faults map[string]*sourceFault
}

type sourceFault struct {
	err    error
	since  time.Time
	inARow int
	until  time.Time // no job of the source is fetched before
}

const (
	// So many jobs of a source in a row that could not be reached are no trouble of single files.
	unreachableAfter = 2

	firstSourcePause   = 5 * time.Second
	longestSourcePause = time.Minute
)

func newSources() *sources { return &sources{faults: map[string]*sourceFault{}} }

// reached notes that contents of a source were opened.
func (s *sources) reached(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, source)
}

// unreachable notes that contents of a source could not be reached. first says that nobody was told.
func (s *sources) unreachable(source string, err error) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	f := s.faults[source]
	if f == nil {
		f = &sourceFault{since: time.Now()}
		s.faults[source] = f
	}
	f.err = err
	f.inARow++
	if f.inARow >= unreachableAfter {
		f.until = time.Now().Add(pipeline.Backoff(f.inARow-unreachableAfter, firstSourcePause, longestSourcePause))
	}

	return f.inARow == unreachableAfter
}

// pause is how long no job of the source should be fetched.
func (s *sources) pause(source string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()

	f := s.faults[source]
	if f == nil {
		return 0
	}

	return max(0, time.Until(f.until))
}

// err says which sources cannot be reached; nil for none.
func (s *sources) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	var names []string
	for name, f := range s.faults {
		if f.inARow >= unreachableAfter {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	f := s.faults[names[0]]

	return fmt.Errorf("contents of source %q cannot be reached here since %s, and are left to other workers: %w",
		names, f.since.UTC().Format(time.RFC3339), f.err)
}
