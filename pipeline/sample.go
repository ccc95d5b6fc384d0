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

// The states of a sample.
const (
	// StateNone means that any worker may claim the sample: there is no claim, WildFire is not
	// analyzing the sample, and there is no outcome. Other fields may tell what happened before.
	StateNone State = ""

	// StateUploading means that the worker Owner has claimed the sample, and may be uploading it.
	// Only Owner changes the state. If Owner has died, any process may release the claim.
	StateUploading State = "uploading"

	// StateRetrying means that an upload attempt failed. The next attempt is made by the sample's
	// Job or by a more urgent job, and after a while by any job.
	StateRetrying State = "retrying"

	// StatePending means that WildFire has the sample, and has given no verdict yet.
	StatePending State = "pending"

	// StateVerdict means that the sample has a verdict. It is reused until it expires.
	StateVerdict State = "verdict"

	// StateRefused means that WildFire refused the contents, could not analyze them, or certainly
	// would refuse them: they are empty. The refusal applies until it expires.
	StateRefused State = "refused"
)

// States lists every state, in the order of a sample's life.
func States() []State {
	return []State{StateNone, StateUploading, StateRetrying, StatePending, StateVerdict, StateRefused}
}

// Sample is the ledger's record of what is known about one SHA-256 or one link. Every change is a
// compare-and-set on the record's revision, so that only one of several workers with the same
// contents uploads them.
type Sample struct {
	State     State     `json:"state"`
	Owner     string    `json:"owner,omitempty"`     // worker that holds the claim
	Job       string    `json:"job,omitempty"`       // Ref of the job that uploads it, has uploaded it, or makes the next attempt
	Priority  Priority  `json:"priority,omitempty"`  // of that job
	Unsure    bool      `json:"unsure,omitempty"`    // an upload may have reached WildFire: ask before the next one
	ChangedAt time.Time `json:"changed_at,omitzero"` // when State was last set

	Attempts    int  `json:"attempts,omitempty"`    // upload attempts that failed and are counted (Retry)
	Resubmitted bool `json:"resubmitted,omitempty"` // a second upload is allowed or was made, because WildFire lost or could not analyze the first

	MD5         string    `json:"md5,omitempty"`
	Size        int64     `json:"size,omitempty"` // in bytes
	Filetype    string    `json:"filetype,omitempty"`
	SubmittedAt time.Time `json:"submitted_at,omitzero"` // when we uploaded it, or first saw that it was pending

	Verdict   int       `json:"verdict"` // valid if State is StateVerdict
	DecidedAt time.Time `json:"decided_at,omitzero"`
	CheckedAt time.Time `json:"checked_at,omitzero"` // when the verdict was recorded, or when WildFire was last asked about a withheld sample

	// Rule is the rule that let the contents leave. It is written before the first byte is sent.
	Rule string `json:"rule,omitempty"`

	// WithheldAt is when the first job ended as withheld because WildFire did not know the sample.
	// If there is a verdict later, an event is published for every job that was withheld since
	// then.
	WithheldAt time.Time `json:"withheld_at,omitzero"`

	Refusal *Refusal `json:"refusal,omitempty"` // set if State is StateRefused

	Report *ReportNote `json:"report,omitempty"` // set once the report was fetched or given up

	// Wishes says, for each source, whether the policy wants the report. It is nil if no rule
	// mentions reports.
	Wishes *ReportWishes `json:"report_wishes,omitempty"`
}

// Refusal says why WildFire refused the contents, and for which file names. WildFire recognizes
// scripts by their extension, so it may accept the same contents under a different extension.
type Refusal struct {
	Error results.Error `json:"error"`
	Ext   string        `json:"ext,omitempty"` // the extension of these names, in lower case, with the dot; "": every name
	At    time.Time     `json:"at"`
}

// covers reports whether the refusal applies to another job with the same contents.
func (r *Refusal) covers(j Job) bool {
	return r != nil && (r.Ext == "" || r.Ext == extension(j))
}

// Final reports whether the sample has a verdict or a refusal, however old.
func (s *Sample) Final() bool { return s.State == StateVerdict || s.State == StateRefused }

// reset forgets everything about a sample except the policy's wishes about its report, and that
// jobs were withheld.
func (s *Sample) reset(now time.Time) {
	*s = Sample{ChangedAt: now, WithheldAt: s.WithheldAt, Wishes: s.Wishes}
}

// claim records that a worker uploads the sample for a job. The caller has made sure that no
// verdict or refusal applies to the job: an old one has expired, or refuses only file names with
// another extension. claim forgets the old one, and the attempts before it.
func (s *Sample) claim(owner string, j Job, now time.Time) {
	if s.Final() {
		s.reset(now)
	}

	s.State = StateUploading
	s.Owner = owner
	s.Job = j.Ref().String()
	s.Priority = j.Priority
	s.ChangedAt = now
	s.Refusal = nil
	s.Size = j.Size
}

// release ends a claim and moves the sample to another state. It keeps Attempts. It keeps Job only
// if that job makes the next attempt, or if its upload may have reached WildFire.
func (s *Sample) release(next State, now time.Time) {
	s.State = next
	s.Owner = ""
	s.ChangedAt = now

	if next != StateRetrying && !s.Unsure {
		s.Job = ""
		s.Priority = ""
	}
}

// recordSubmitted marks the sample as pending at WildFire. Job remains the job that uploaded it.
func (s *Sample) recordSubmitted(now time.Time) {
	s.State = StatePending
	s.Owner = ""
	s.Unsure = false
	s.SubmittedAt = now
	s.ChangedAt = now
}

// setVerdict sets the sample's verdict.
func (s *Sample) setVerdict(v wildfire.Verdict, md5 string, now time.Time) {
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
	// published, with the time of that end. The report is still to be published for them.
	Owed map[string]time.Time `json:"owed,omitempty"`
}

// maxReportSources bounds the sources in ReportWishes; for further ones, reports.verdicts decides.
// It also bounds the sources in a ReportNote; OweReport adds no further ones.
const maxReportSources = 100

// OweReport adds a source to Report.Owed when one of its jobs ends with the sample's verdict. It
// returns false if it adds nothing: the report's outcome is not known yet, the report was published
// for the source, the source is in the list already, or there are too many sources.
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

// Reported records that the report was published for these sources. If this is the first time, it
// also records the outcome of the request.
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

// ReplaceVerdict replaces a verdict after WildFire changed it.
func (s *Sample) ReplaceVerdict(v wildfire.Verdict, md5 string, now time.Time) {
	s.setVerdict(v, md5, now)
}

// resubmitOrRefuse gives up a submission that will never get a verdict. The first time, it frees
// the sample, so that it is uploaded again. The second time, it refuses the sample.
func (s *Sample) resubmitOrRefuse(v wildfire.Verdict, now time.Time) {
	if !s.Resubmitted {
		s.Resubmitted = true
		s.release(StateNone, now)
		return
	}

	s.refuse("", results.Error{
		Reason:  results.AnalysisError,
		Message: "WildFire could not analyze it in two submissions: " + v.String(),
	}, now)
}

// recordWithheld records that WildFire does not know a sample that the policy withholds.
func (s *Sample) recordWithheld(now time.Time) {
	if s.Final() {
		s.reset(now)
	}
	if s.WithheldAt.IsZero() {
		s.WithheldAt = now
	}
	s.CheckedAt = now
}

// RecordRecheck records WildFire's answer when it was asked again about a withheld sample. It
// reports whether there is a verdict now.
func (s *Sample) RecordRecheck(v wildfire.Verdict, md5 string, now time.Time) (decided bool) {
	s.CheckedAt = now
	if v.Final() {
		s.setVerdict(v, md5, now)
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

	s.reset(now)
	return true
}
