package wildfiretest

import (
	"context"
	"slices"
	"time"

	"backburn/wildfire"
)

// Call is one request that the server answered, or broke off.
type Call struct {
	// Number counts all calls from 1.
	Number int

	Op     wildfire.Op
	Region string
	Time   time.Time

	// Token is the Bearer token or the API key that came with it, "" for none; for the token service, the client id.
	Token string

	// Status is what was answered, 0 where the connection was broken off instead.
	Status int

	// SHA256, Filename and Size tell the file of a submission whose contents were read. Of a question for a
	// report or a capture, SHA256 is the hash that was asked about.
	SHA256, Filename string
	Size             int64

	// Hashes is how many hashes or links a list held.
	Hashes int

	// UserAgent is the request's header.
	UserAgent string
}

// Upload is one submission of a sample that was counted.
type Upload struct {
	Time     time.Time
	Token    string
	Filename string
}

// maxUploadsKept bounds the uploads that are remembered one by one for a sample; UploadCount knows them all.
const maxUploadsKept = 64

// record notes a call and wakes those who Wait.
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

type statusKey struct {
	op     wildfire.Op
	status int
}

// Calls returns the calls that are remembered, oldest first.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls <= s.maxCalls {
		return slices.Clone(s.log)
	}
	oldest := s.calls % s.maxCalls
	return slices.Concat(s.log[oldest:], s.log[:oldest])
}

// Count returns how many calls there were of an operation, or of all with "".
func (s *Server) Count(op wildfire.Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op == "" {
		return s.calls
	}
	return s.counts[op]
}

// CountStatus returns how many calls of an operation were answered with a status, 0 standing for those that
// were broken off.
func (s *Server) CountStatus(op wildfire.Op, status int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statuses[statusKey{op, status}]
}

// TokenRequests returns how many requests the token service got, refused ones included.
func (s *Server) TokenRequests() int { return s.Count(OpToken) }

// UploadCount returns how often a sample was submitted and counted, in all regions.
func (s *Server) UploadCount(sha256 string) int {
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

// Uploads returns the submissions of a sample that were counted, in all regions: at most the first 64.
func (s *Server) Uploads(sha256 string) []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Upload
	for key, sample := range s.samples {
		if key.hash == sha256 {
			all = append(all, sample.by...)
		}
	}
	slices.SortStableFunc(all, func(a, b Upload) int { return a.Time.Compare(b.Time) })
	return all
}

// Wait returns once done reports true. It is asked at first and after every call, and may use the server's
// other methods. The error is the context's.
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
