package api

import (
	"context"
	"net/http"
	"regexp"
	"slices"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// Job is the state of a job.
type Job struct {
	JobID    string         `json:"job_id"`
	State    string         `json:"state"`               // queued, waiting, done or failed
	WaitsFor string         `json:"waits_for,omitempty"` // text for people
	Event    *results.Event `json:"event,omitempty"`     // the final event
}

// traceLimit is how many queued jobs are searched for a job that no worker has fetched yet.
const traceLimit = 1000

func (s *service) job(w http.ResponseWriter, r *http.Request) {
	if !s.checkReady(w, r) {
		return
	}

	ctx, cancel := context.WithTimeout(r.Context(), natsTimeout)
	defer cancel()
	id, source := r.PathValue("id"), clientOf(r).Source
	ev, ended, err := s.deps.Queue.Ledger().Final(ctx, pipeline.Ref{Source: source, ID: id})
	if err != nil {
		s.writeUnavailable(w, err)
		return
	}

	if ended {
		state := queue.TraceDone
		if ev.Type == results.Failed {
			state = queue.TraceFailed
		}

		writeJSON(w, http.StatusOK, Job{JobID: id, State: state, Event: &ev})

		return
	}

	t, err := s.deps.Queue.Trace(ctx, queue.TraceQuery{Job: id, Source: source, Limit: traceLimit})
	switch {
	case err != nil:
		s.writeUnavailable(w, err)
	case !belongsTo(t, source):
		writeProblem(w, http.StatusNotFound, "unknown-job", "this source has no such job; a job far back in a long queue may not be found yet")
	default:
		writeJSON(w, http.StatusOK, Job{JobID: id, State: t.State, WaitsFor: t.WaitsFor})
	}
}

// belongsTo reports whether a trace found a job of the source.
func belongsTo(t queue.Trace, source string) bool {
	return (t.State == queue.TraceQueued || t.State == queue.TraceWaiting) &&
		slices.ContainsFunc(t.Timeline, func(entry queue.TraceEntry) bool { return entry.Source == source })
}

// Contents is the known state of contents.
type Contents struct {
	SHA256    string `json:"sha256"`
	State     string `json:"state"`                // none, uploading, retrying, pending, verdict, refused
	Verdict   string `json:"verdict,omitempty"`    // only with the state verdict
	CheckedAt string `json:"checked_at,omitempty"` // when WildFire gave the verdict; a recheck with the same verdict does not change it
}

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (s *service) verdict(w http.ResponseWriter, r *http.Request) {
	sum := r.PathValue("sha256")
	if !sha256Pattern.MatchString(sum) {
		writeProblem(w, http.StatusBadRequest, "invalid-request", "expected a SHA-256 of 64 lower-case hexadecimal digits")
		return
	}

	if !s.checkReady(w, r) {
		return
	}

	ctx, cancel := context.WithTimeout(r.Context(), natsTimeout)
	defer cancel()
	sample, known, err := s.deps.Queue.Ledger().Known(ctx, sum)
	switch {
	case err != nil:
		s.writeUnavailable(w, err)
	case !known:
		writeProblem(w, http.StatusNotFound, "unknown-contents", "nothing is known about contents with this SHA-256")
	default:
		c := Contents{SHA256: sum, State: sample.State, Verdict: sample.Verdict}
		if sample.Verdict != "" && !sample.CheckedAt.IsZero() {
			c.CheckedAt = sample.CheckedAt.UTC().Format("2006-01-02T15:04:05Z07:00")
		}

		writeJSON(w, http.StatusOK, c)
	}
}
