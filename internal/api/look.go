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

func (d *Door) job(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	id := r.PathValue("id")
	ev, ended, err := d.cfg.Queue.Final(ctx, pipeline.Ref{Source: d.cfg.Source, ID: id})
	if err != nil {
		d.unavailable(w, err)
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
	t, err := d.cfg.Queue.Trace(ctx, queue.TraceQuery{Job: id, Source: d.cfg.Source, Limit: traceLimit})
	switch {
	case err != nil:
		d.unavailable(w, err)
	case !d.ours(t):
		d.noJob(w)
	default:
		answer(w, http.StatusOK, Job{JobID: id, State: t.State, WaitsFor: t.WaitsFor})
	}
}

// ours reports whether a trace found a job of the door's source.
func (d *Door) ours(t queue.Trace) bool {
	if t.State != queue.TraceQueued && t.State != queue.TraceWaiting {
		return false
	}
	for _, s := range t.Steps {
		if s.Source == d.cfg.Source {
			return true
		}
	}
	return false
}

func (d *Door) noJob(w http.ResponseWriter) {
	problem(w, http.StatusNotFound, "unknown-job", "no such job of this source is known; one far back in a long queue may not be found yet")
}

// Contents is what is known of contents.
type Contents struct {
	SHA256    string `json:"sha256"`
	State     string `json:"state"`                // none, uploading, retrying, pending, verdict, refused
	Verdict   string `json:"verdict,omitempty"`    // where the state is verdict
	CheckedAt string `json:"checked_at,omitempty"` // when WildFire last said so
}

var hash = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (d *Door) verdict(w http.ResponseWriter, r *http.Request) {
	sum := r.PathValue("sha256")
	if !hash.MatchString(sum) {
		problem(w, http.StatusBadRequest, "invalid-request", "a SHA-256: 64 lower-case hexadecimal digits")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	s, known, err := d.cfg.Queue.Known(ctx, sum)
	switch {
	case err != nil:
		d.unavailable(w, err)
	case !known:
		problem(w, http.StatusNotFound, "unknown-contents", "nothing is known here of contents with this SHA-256")
	default:
		c := Contents{SHA256: sum, State: s.State, Verdict: s.Verdict}
		if s.Verdict != "" && !s.CheckedAt.IsZero() {
			c.CheckedAt = s.CheckedAt.UTC().Format("2006-01-02T15:04:05Z07:00")
		}
		answer(w, http.StatusOK, c)
	}
}

func (d *Door) unavailable(w http.ResponseWriter, err error) {
	d.cfg.Log.Error().Err(err).Msg("the door can't ask the queue")
	w.Header().Set("Retry-After", "10")
	problem(w, http.StatusServiceUnavailable, "unavailable", "the queue does not answer")
}
