package pipeline

import (
	"maps"
	"slices"
	"time"

	"backburn/results"
	"backburn/wildfire"
)

// State says what has happened to a sample, never what will happen.
type State string

// The states of a sample. Each comment says who changes the state next; Decide says to which.
const (
	StateNone      State = ""          // nothing yet, or released after an attempt: any worker
	StateUploading State = "uploading" // claimed by Owner, who may be uploading it: Owner, or the first to find that Owner has died
	StateRetrying  State = "retrying"  // an attempt failed: Job, a more urgent one, or after a while any job
	StatePending   State = "pending"   // WildFire has it, and no verdict yet: the poller
	StateVerdict   State = "verdict"   // final, until the verdict expires
	StateRefused   State = "refused"   // WildFire refused these contents: final, until the refusal expires
)

// States lists every state, in the order of a sample's life.
func States() []State {
	return []State{StateNone, StateUploading, StateRetrying, StatePending, StateVerdict, StateRefused}
}

// Sample is what is known about one SHA-256, or one link: a record of the ledger. Every change is a
// compare-and-set on the record's revision, so of many workers with the same contents one uploads.
type Sample struct {
	State     State     `json:"state"`
	Owner     string    `json:"owner,omitempty"`     // worker that claimed it
	Job       string    `json:"job,omitempty"`       // Ref of the job that claimed it, or makes the next attempt
	Priority  Priority  `json:"priority,omitempty"`  // of that job
	Unsure    bool      `json:"unsure,omitempty"`    // WildFire may have received it: ask before sending
	ChangedAt time.Time `json:"changed_at,omitzero"` // of State

	Attempts    int  `json:"attempts,omitempty"`    // upload attempts that failed
	Resubmitted bool `json:"resubmitted,omitempty"` // it was uploaded a second time; there is no third

	MD5         string    `json:"md5,omitempty"`
	Size        int64     `json:"size,omitempty"` // in bytes
	Filetype    string    `json:"filetype,omitempty"`
	SubmittedAt time.Time `json:"submitted_at,omitzero"` // by us, or first seen as pending

	Verdict   int       `json:"verdict"` // where State is StateVerdict
	DecidedAt time.Time `json:"decided_at,omitzero"`
	CheckedAt time.Time `json:"checked_at,omitzero"` // when WildFire last gave this verdict, or said that it does not know the sample

	// Rule is the rule that let the contents leave. It is written before the first byte is sent.
	Rule string `json:"rule,omitempty"`

	// WithheldAt is the end of the first job that was withheld without a verdict. If there is a
	// verdict later, the jobs that were withheld since then get an event.
	WithheldAt time.Time `json:"withheld_at,omitzero"`

	Refusal *Refusal `json:"refusal,omitempty"` // where State is StateRefused

	Report *ReportNote `json:"report,omitempty"` // set once the report was fetched or given up

	// Wishes are the policy's wishes about the report, by source. It is nil if no rule mentions
	// reports.
	Wishes *ReportWishes `json:"report_wishes,omitempty"`
}

// Refusal is a terminal answer to these contents under that kind of name. WildFire recognizes
// scripts by their extension, so it may accept the same bytes under another one.
type Refusal struct {
	Error results.Error `json:"error"`
	Ext   string        `json:"ext,omitempty"` // "" for every name
	At    time.Time     `json:"at"`
}

// covers reports whether the refusal applies to another job with the same contents.
func (r *Refusal) covers(j Job) bool {
	return r != nil && (r.Ext == "" || r.Ext == extension(j))
}

// Final reports whether the sample has a verdict or a refusal, however old.
func (s *Sample) Final() bool { return s.State == StateVerdict || s.State == StateRefused }

// reset forgets everything about a sample except the policy's wishes about its report.
func (s *Sample) reset(now time.Time) Sample {
	return Sample{ChangedAt: now, Wishes: s.Wishes}
}

// claim marks the sample as being uploaded. Claiming an expired result resets the attempts.
func (s *Sample) claim(owner string, j Job, now time.Time) {
	if s.Final() {
		*s = s.reset(now)
	}

	s.State = StateUploading
	s.Owner = owner
	s.Job = j.Ref().String()
	s.Priority = j.Priority
	s.ChangedAt = now
	s.Refusal = nil
	s.Size = j.Size
}

// release ends a claim and moves the sample to another state. The attempt count stays. The job that
// claimed the sample stays only if it makes the next attempt, or if WildFire may have received its
// upload.
func (s *Sample) release(next State, now time.Time) {
	s.State = next
	s.Owner = ""
	s.ChangedAt = now

	if next != StateRetrying && !s.Unsure {
		s.Job = ""
		s.Priority = ""
	}
}

// submitted marks the sample as pending at WildFire. Job stays the job that uploaded it.
func (s *Sample) submitted(now time.Time) {
	s.State = StatePending
	s.Owner = ""
	s.Unsure = false
	s.SubmittedAt = now
	s.ChangedAt = now
}

// decide sets the sample's verdict.
func (s *Sample) decide(v wildfire.Verdict, md5 string, now time.Time) {
	s.Unsure = false
	s.release(StateVerdict, now)
	s.Refusal = nil
	s.Verdict = int(v)
	s.DecidedAt = now
	s.CheckedAt = now

	if md5 != "" {
		s.MD5 = md5
	}
}

// ReportNote records the outcome of a report request. If a sample has no note, its report was not
// requested yet, or WildFire did not have it so far.
type ReportNote struct {
	State     results.ReportStatus `json:"state"`
	At        time.Time            `json:"at"`
	Published []string             `json:"told,omitempty"` // sources for which the event was published

	// Owed are the sources whose first job with these contents ended after the report was
	// published. The event has yet to be published for them.
	Owed map[string]time.Time `json:"owed,omitempty"`
}

// maxReportSources bounds the sources of a note. Further sources get no event.
const maxReportSources = 100

// OweReport records that a job of a source ends with the sample's verdict. It reports whether the
// report must now be published for that source as well.
func (s *Sample) OweReport(source string, now time.Time) bool {
	r := s.Report
	if r == nil || slices.Contains(r.Published, source) || len(r.Published)+len(r.Owed) >= maxReportSources {
		return false
	}
	if _, owed := r.Owed[source]; owed {
		return false
	}

	note := *r
	note.Owed = maps.Clone(r.Owed)
	if note.Owed == nil {
		note.Owed = map[string]time.Time{}
	}
	note.Owed[source] = now.UTC()
	s.Report = &note

	return true
}

// Reported records the outcome of the report request, and the sources for which it was published.
func (s *Sample) Reported(state results.ReportStatus, published []string, now time.Time) {
	note := ReportNote{State: state, At: now.UTC()}
	if s.Report != nil {
		note = *s.Report
		note.Owed = maps.Clone(note.Owed)
		note.Published = slices.Clone(note.Published)
	}

	for _, source := range published {
		if delete(note.Owed, source); !slices.Contains(note.Published, source) {
			note.Published = append(note.Published, source)
		}
	}
	slices.Sort(note.Published)
	s.Report = &note
}

// Redecide replaces a verdict after WildFire changed it.
func (s *Sample) Redecide(v wildfire.Verdict, md5 string, now time.Time) { s.decide(v, md5, now) }

// resubmitOrRefuse frees a sample if this submission will never lead to a verdict, so that it is
// uploaded again, once. The second time the sample is refused.
func (s *Sample) resubmitOrRefuse(v wildfire.Verdict, now time.Time) {
	if !s.Resubmitted {
		s.Resubmitted = true
		s.release(StateNone, now)
		return
	}

	s.refuse("", results.Error{
		Reason:  results.AnalysisError,
		Message: "WildFire could not analyze it, twice: " + v.String(),
	}, now)
}

// withhold records that WildFire does not know a sample that the policy withholds.
func (s *Sample) withhold(now time.Time) {
	if s.Final() {
		*s = s.reset(now)
	}
	if s.WithheldAt.IsZero() {
		s.WithheldAt = now
	}
	s.CheckedAt = now
}

// Recheck records WildFire's answer to another question about a withheld sample. It reports whether
// there is a verdict now.
func (s *Sample) Recheck(v wildfire.Verdict, md5 string, now time.Time) (decided bool) {
	s.CheckedAt = now
	if v.Final() {
		s.decide(v, md5, now)
	}

	return v.Final()
}

// refuse records a refusal. ext restricts it to names with that extension; "" applies to every
// name.
func (s *Sample) refuse(ext string, cause results.Error, now time.Time) {
	s.Unsure = false
	s.release(StateRefused, now)
	s.Refusal = &Refusal{Error: cause, Ext: ext, At: now}
}

// ClearRefusal removes a refusal, so that the contents can be uploaded again. It reports whether
// there was one.
func (s *Sample) ClearRefusal(now time.Time) bool {
	if s.State != StateRefused {
		return false
	}

	*s = s.reset(now)
	return true
}
