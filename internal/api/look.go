package api

import (
	"context"
	"net/http"
	"regexp"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// Job is what is known of a job.
type Job struct {
	JobID    string         `json:"job_id"`
	State    string         `json:"state"`               // queued, waiting, done or failed
	WaitsFor string         `json:"waits_for,omitempty"` // for people
	Event    *results.Event `json:"event,omitempty"`     // the final one
}

// traceLimit is how many jobs of the queue are looked through for one that has not begun yet.
const traceLimit = 1000

func (s *Server) job(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	id := r.PathValue("id")
	ev, ended, err := s.cfg.Queue.Final(ctx, pipeline.Ref{Source: s.cfg.Source, ID: id})
	if err != nil {
		s.unavailable(w, err)
		return
	}
	if ended {
		state := queue.TraceDone
		if ev.Type == results.Failed {
			state = queue.TraceFailed
		}
		answer(w, http.StatusOK, Job{JobID: id, State: state, Event: &ev})
		return
	}
	t, err := s.cfg.Queue.Trace(ctx, queue.TraceQuery{Job: id, Source: s.cfg.Source, Limit: traceLimit})
	switch {
	case err != nil:
		s.unavailable(w, err)
	case !s.ours(t):
		s.noJob(w)
	default:
		answer(w, http.StatusOK, Job{JobID: id, State: t.State, WaitsFor: t.WaitsFor})
	}
}

// ours reports whether a trace found a job of the API's source.
func (s *Server) ours(t queue.Trace) bool {
	if t.State != queue.TraceQueued && t.State != queue.TraceWaiting {
		return false
	}
	for _, step := range t.Steps {
		if step.Source == s.cfg.Source {
			return true
		}
	}
	return false
}

func (s *Server) noJob(w http.ResponseWriter) {
	problem(w, http.StatusNotFound, "unknown-job", "no such job of this source is known; a job far back in a long queue may not be found yet")
}

// Contents is what is known of contents.
type Contents struct {
	SHA256    string `json:"sha256"`
	State     string `json:"state"`                // none, uploading, retrying, pending, verdict, refused
	Verdict   string `json:"verdict,omitempty"`    // where the state is verdict
	CheckedAt string `json:"checked_at,omitempty"` // when WildFire last said so
}

var hash = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (s *Server) verdict(w http.ResponseWriter, r *http.Request) {
	sum := r.PathValue("sha256")
	if !hash.MatchString(sum) {
		problem(w, http.StatusBadRequest, "invalid-request", "a SHA-256: 64 lower-case hexadecimal digits")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	sample, known, err := s.cfg.Queue.Known(ctx, sum)
	switch {
	case err != nil:
		s.unavailable(w, err)
	case !known:
		problem(w, http.StatusNotFound, "unknown-contents", "nothing is known here of contents with this SHA-256")
	default:
		c := Contents{SHA256: sum, State: sample.State, Verdict: sample.Verdict}
		if sample.Verdict != "" && !sample.CheckedAt.IsZero() {
			c.CheckedAt = sample.CheckedAt.UTC().Format("2006-01-02T15:04:05Z07:00")
		}
		answer(w, http.StatusOK, c)
	}
}

func (s *Server) unavailable(w http.ResponseWriter, err error) {
	s.cfg.Log.Error().Err(err).Msg("cannot query the queue for an HTTP client")
	w.Header().Set("Retry-After", "10")
	problem(w, http.StatusServiceUnavailable, "unavailable", "the queue does not answer")
}
