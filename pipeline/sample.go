package pipeline

import (
	"maps"
	"slices"
	"time"

	"backburn/results"
	"backburn/wildfire"
)

// State says what has happened to a sample, never what is about to.
type State string

// The states of a sample. Who moves it on stands beside each; Decide says where to.
const (
	StateNone      State = ""          // nothing yet, or released after a try: any worker
	StateUploading State = "uploading" // claimed by Owner, who may be sending it: its owner, or whoever finds it gone
	StateRetrying  State = "retrying"  // a try ended in a fault: Job, a more urgent one, or anyone after a while
	StatePending   State = "pending"   // WildFire has it, and no verdict yet: the poller
	StateVerdict   State = "verdict"   // final, until it is too old to count
	StateRefused   State = "refused"   // WildFire refused these contents, until that is too old to count
)

// States lists every state, in the order of a sample's life.
func States() []State {
	return []State{StateNone, StateUploading, StateRetrying, StatePending, StateVerdict, StateRefused}
}

// Sample is what is known about one SHA-256, or one link: a record of the ledger. Every change is
// a compare-and-set on the record's revision, so of many workers with the same contents one uploads.
type Sample struct {
	State     State     `json:"state"`
	Owner     string    `json:"owner,omitempty"`     // worker that claimed it
	Job       string    `json:"job,omitempty"`       // Ref of the job that claimed it, or makes the next try
	Priority  Priority  `json:"priority,omitempty"`  // of that job
	Unsure    bool      `json:"unsure,omitempty"`    // WildFire may have got it: ask before sending
	ChangedAt time.Time `json:"changed_at,omitzero"` // of State

	Attempts    int  `json:"attempts,omitempty"`    // tries at the upload that ended in a fault
	Resubmitted bool `json:"resubmitted,omitempty"` // it was uploaded a second time, which is the last

	MD5         string    `json:"md5,omitempty"`
	Size        int64     `json:"size,omitempty"` // in bytes
	Filetype    string    `json:"filetype,omitempty"`
	SubmittedAt time.Time `json:"submitted_at,omitzero"` // by us, or first seen as pending

	Verdict   int       `json:"verdict"` // where State is StateVerdict
	DecidedAt time.Time `json:"decided_at,omitzero"`
	CheckedAt time.Time `json:"checked_at,omitzero"` // when WildFire last said so, or that it knows nothing

	// Rule is the rule by which the contents left, written before the first byte of them does.
	Rule string `json:"rule,omitempty"`

	// WithheldAt is since when a job ended as withheld that is to be told a later verdict.
	WithheldAt time.Time `json:"withheld_at,omitzero"`

	Refusal *Refusal `json:"refusal,omitempty"` // where State is StateRefused

	Report *ReportNote `json:"report,omitempty"` // once WildFire's report was fetched, or given up

	// Wishes says what the policy wants of the report, by source. It is nil where no rule says anything
	// about reports.
	Wishes *ReportWishes `json:"report_wishes,omitempty"`
}

// Refusal is a terminal answer to these contents under that kind of name. WildFire tells
// scripts by the extension, so the same bytes may be accepted under another.
type Refusal struct {
	Error results.Error `json:"error"`
	Ext   string        `json:"ext,omitempty"` // "" for every name
	At    time.Time     `json:"at"`
}

// covers reports whether the refusal holds for another job with the same contents.
func (r *Refusal) covers(j Job) bool {
	return r != nil && (r.Ext == "" || r.Ext == extension(j))
}

// Final reports whether the sample has a verdict or a refusal, however old.
func (s *Sample) Final() bool { return s.State == StateVerdict || s.State == StateRefused }

// renewed forgets all that is known of a sample but what the policy wants of its report.
func (s *Sample) renewed(now time.Time) Sample {
	return Sample{ChangedAt: now, Wishes: s.Wishes}
}

// claim marks the sample as being uploaded. Claiming an expired result resets the attempts.
func (s *Sample) claim(owner string, j Job, now time.Time) {
	if s.Final() {
		*s = s.renewed(now)
	}

	s.State = StateUploading
	s.Owner = owner
	s.Job = j.Ref().String()
	s.Priority = j.Priority
	s.ChangedAt = now
	s.Refusal = nil
	s.Size = j.Size
}

// release ends a claim after a try that did not succeed. It keeps the count of attempts and, where
// WildFire may have the sample all the same, the job that will have uploaded it.
func (s *Sample) release(next State, now time.Time) {
	s.State = next
	s.Owner = ""
	s.ChangedAt = now

	if next != StateRetrying && !s.Unsure {
		s.Job = ""
		s.Priority = ""
	}
}

// submitted marks the sample as being with WildFire. Job stays: the job that uploaded it.
func (s *Sample) submitted(now time.Time) {
	s.State = StatePending
	s.Owner = ""
	s.Unsure = false
	s.SubmittedAt = now
	s.ChangedAt = now
}

// decide gives the sample its verdict.
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

// ReportNote says what became of the report about a sample. Without one it was not asked for yet, or
// not found so far.
type ReportNote struct {
	State results.ReportStatus `json:"state"`
	At    time.Time            `json:"at"`
	Told  []string             `json:"told,omitempty"` // sources for which the event was published

	// Owed are sources whose first job with these contents ended later: for them it is still to be
	// published.
	Owed map[string]time.Time `json:"owed,omitempty"`
}

// maxReportSources bounds the sources of a note. Those beyond it are told nothing.
const maxReportSources = 100

// Owe notes that a job of a source ends with the sample's verdict. It reports whether that source is to be
// told of the report and nobody knew.
func (s *Sample) Owe(source string, now time.Time) bool {
	r := s.Report
	if r == nil || slices.Contains(r.Told, source) || len(r.Told)+len(r.Owed) >= maxReportSources {
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

// Reported notes what became of the report, and for which sources that was published.
func (s *Sample) Reported(state results.ReportStatus, told []string, now time.Time) {
	note := ReportNote{State: state, At: now.UTC()}
	if s.Report != nil {
		note = *s.Report
		note.Owed = maps.Clone(note.Owed)
		note.Told = slices.Clone(note.Told)
	}

	for _, source := range told {
		if delete(note.Owed, source); !slices.Contains(note.Told, source) {
			note.Told = append(note.Told, source)
		}
	}
	slices.Sort(note.Told)
	s.Report = &note
}

// Redecide replaces a verdict after WildFire changed its mind.
func (s *Sample) Redecide(v wildfire.Verdict, md5 string, now time.Time) { s.decide(v, md5, now) }

// lost frees a sample that WildFire has no verdict on and never will have from this submission,
// so that it is uploaded again, once. The second time it is refused.
func (s *Sample) lost(v wildfire.Verdict, now time.Time) {
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

// withhold notes that WildFire does not know a sample which a policy keeps here.
func (s *Sample) withhold(now time.Time) {
	if s.Final() {
		*s = s.renewed(now)
	}
	if s.WithheldAt.IsZero() {
		s.WithheldAt = now
	}
	s.CheckedAt = now
}

// Recheck takes note of WildFire's answer about a withheld sample that was asked about again. It reports
// whether there is a verdict now.
func (s *Sample) Recheck(v wildfire.Verdict, md5 string, now time.Time) (decided bool) {
	s.CheckedAt = now
	if v.Final() {
		s.decide(v, md5, now)
	}

	return v.Final()
}

// refuse remembers a terminal answer. ext restricts it to names with that extension; "" is for
// every name.
func (s *Sample) refuse(ext string, cause results.Error, now time.Time) {
	s.Unsure = false
	s.release(StateRefused, now)
	s.Refusal = &Refusal{Error: cause, Ext: ext, At: now}
}

// Forgive forgets a refusal, so that the contents are tried again. It reports whether there was one.
func (s *Sample) Forgive(now time.Time) bool {
	if s.State != StateRefused {
		return false
	}

	*s = s.renewed(now)
	return true
}
