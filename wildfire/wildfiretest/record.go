package wildfiretest

import (
	"context"
	"slices"
	"strings"

	"backburn/wildfire"
)

// record stores a call and wakes callers of Wait.
func (s *Server) record(call Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	call.Number = s.calls
	if len(s.log) < s.maxCalls {
		s.log = append(s.log, call)
	} else {
		s.log[(s.calls-1)%s.maxCalls] = call
	}

	s.counts[call.Op]++
	s.statuses[statusKey{call.Op, call.Status}]++
	close(s.changed)
	s.changed = make(chan struct{})
}

// Calls returns the stored calls, oldest first.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls <= s.maxCalls {
		return slices.Clone(s.log)
	}
	oldest := s.calls % s.maxCalls

	return slices.Concat(s.log[oldest:], s.log[:oldest])
}

// Count returns the number of calls of an operation; "" counts all calls.
func (s *Server) Count(op wildfire.Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op == "" {
		return s.calls
	}

	return s.counts[op]
}

// CountStatus returns the number of calls of an operation with a status; 0 counts calls without an
// answer.
func (s *Server) CountStatus(op wildfire.Op, status int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statuses[statusKey{op, status}]
}

// TokenRequests returns the number of requests to the token service, including refused ones.
func (s *Server) TokenRequests() int { return s.Count(OpToken) }

// UploadCount returns how often a sample was submitted and counted, in all regions.
func (s *Server) UploadCount(sha256 string) int {
	sha256 = strings.ToLower(sha256)
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for key, sample := range s.samples {
		if key.hash == sha256 {
			total += sample.uploads
		}
	}

	return total
}

// Uploads returns the submissions of a sample that were counted, in all regions: at most the first
// 64 of each region.
func (s *Server) Uploads(sha256 string) []Upload {
	sha256 = strings.ToLower(sha256)
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Upload
	for key, sample := range s.samples {
		if key.hash == sha256 {
			all = append(all, sample.accepted...)
		}
	}

	slices.SortStableFunc(all, func(a, b Upload) int { return a.Time.Compare(b.Time) })

	return all
}

// Wait waits until done returns true. done is called at once and after every call to the server,
// and may use the server's other methods. If ctx ends first, Wait returns its cause.
func (s *Server) Wait(ctx context.Context, done func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if done() {
			return nil
		}

		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
