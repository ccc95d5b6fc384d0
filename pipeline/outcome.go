package pipeline

import (
	"time"

	"backburn/results"
	"backburn/wildfire"
)

// newEvent returns an event with the fields that come from the job.
func newEvent(t results.Type, j Job, at time.Time) results.Event {
	return results.Event{Type: t, Time: at.UTC(), Data: results.Data{
		JobID:       j.ID,
		Source:      j.Source,
		Filename:    j.Filename,
		FilenameB64: j.FilenameB64,
		Path:        j.Path,
		PathB64:     j.PathB64,
		SHA256:      j.SHA256,
		Size:        j.Size,
		URL:         j.URL,
		ReceivedAt:  j.ReceivedAt,
		Metadata:    j.Metadata,
	}}
}

// SubmittedEvent returns the event that says that WildFire accepted an upload.
func SubmittedEvent(j Job, s Sample) results.Event {
	ev := newEvent(results.Submitted, j, s.SubmittedAt)
	ev.Data.MD5 = s.MD5
	ev.Data.Filetype = s.Filetype
	ev.Data.Basis = results.BasisUpload
	ev.Data.SubmittedAt = s.SubmittedAt
	ev.Data.Attempts = s.Attempts + 1
	ev.Data.Policy = s.Rule

	return ev
}

// VerdictEvent returns the final event of a job whose sample has a verdict.
func VerdictEvent(j Job, s Sample, basis results.Basis, at time.Time) results.Event {
	code := s.Verdict
	ev := newEvent(results.Verdict, j, at)
	ev.Data.Verdict = wildfire.Verdict(code).String()
	ev.Data.VerdictCode = &code
	ev.Data.Basis = basis
	ev.Data.MD5 = s.MD5
	ev.Data.Filetype = s.Filetype
	ev.Data.DecidedAt = s.DecidedAt

	if ev.Data.Size == 0 {
		ev.Data.Size = s.Size
	}
	if basis == results.BasisUpload || basis == results.BasisShared {
		ev.Data.SubmittedAt = s.SubmittedAt
	}
	if basis == results.BasisUpload {
		ev.Data.Attempts = s.Attempts + 1
	}

	return ev
}

// FailedEvent returns the final event of a job that failed.
func FailedEvent(j Job, cause results.Error, attempts int, at time.Time) results.Event {
	ev := newEvent(results.Failed, j, at)
	ev.Data.Error = &cause
	ev.Data.Attempts = attempts
	ev.Data.DecidedAt = at.UTC()

	return ev
}

// rejection returns the error of a job that WildFire rejected.
func rejection(message string) results.Error {
	return results.Error{Reason: results.Rejected, Message: message}
}
