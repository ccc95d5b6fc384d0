// Package results is the contract with programs that read Backburn's events: the event types, their
// subjects, and a [Subscriber] that reads them.
//
// Events are CloudEvents 1.0 in structured JSON mode. An event's ID is derived from its job. Source
// and ID together are the same each time the event is delivered, so a consumer that remembers both
// sees each event once.
//
// # What it guarantees
//
//   - A [Subscriber] delivers every event at least once, and survives servers that stop and come
//     back.
//   - With a Durable it continues where it stopped, also in another process.
//   - An event that this version cannot read, such as one of a later type, is skipped, never
//     misread.
//
// # What it does not do
//
// It does not remember events, and it does not create the stream.
//
// # Stability
//
// The exported names follow semantic versioning: within a major version they are not removed or
// changed. New event types, verdicts, reasons and fields may be added. docs/events.md says what a
// consumer must be prepared for.
package results

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
)

// Type is the CloudEvents type of an event.
type Type string

// The event types. Verdict and Failed are final: every job ends in exactly one of them.
const (
	Submitted Type = "backburn.submitted.v1" // WildFire accepted an upload
	Verdict   Type = "backburn.verdict.v1"   // final
	Failed    Type = "backburn.failed.v1"    // final
	Changed   Type = "backburn.changed.v1"   // WildFire changed the verdict later
	Reported  Type = "backburn.report.v1"    // WildFire's report about the contents
	Audited   Type = "backburn.audit.v1"     // the action of a person; not about a job
)

// Types lists every type: those of jobs, in the order of a job's life, and then Audited.
func Types() []Type { return []Type{Submitted, Verdict, Failed, Changed, Reported, Audited} }

// Name returns the middle of the type: submitted, verdict, failed, changed, report or audit. It is
// also the third token of the subject and a part of the event's ID. For an unknown type it returns
// "unknown".
func (t Type) Name() string {
	switch t {
	case Submitted:
		return "submitted"
	case Verdict:
		return "verdict"
	case Failed:
		return "failed"
	case Changed:
		return "changed"
	case Reported:
		return "report"
	case Audited:
		return "audit"
	}

	return "unknown"
}

// Final reports whether a job ends with an event of this type.
func (t Type) Final() bool { return t == Verdict || t == Failed }

// Basis says how the job got its verdict.
type Basis string

// The bases of a verdict.
const (
	BasisUpload Basis = "upload" // this job uploaded the contents
	BasisShared Basis = "shared" // another job uploaded the contents
	BasisLookup Basis = "lookup" // WildFire already knew the contents
	BasisCache  Basis = "cache"  // Backburn already knew the verdict
)

// Reason is why a job failed: one of the constants below. Later versions may add others.
type Reason string

// The reasons of failed events.
const (
	UnsupportedType   Reason = "unsupported_type"
	TooLarge          Reason = "too_large"
	Empty             Reason = "empty"
	Unprocessable     Reason = "unprocessable"
	Rejected          Reason = "rejected"
	Forbidden         Reason = "forbidden"
	InvalidJob        Reason = "invalid_job"
	ContentChanged    Reason = "content_changed"
	ContentMissing    Reason = "content_missing"
	VerdictTimeout    Reason = "verdict_timeout"
	AnalysisError     Reason = "analysis_error"
	AttemptsExhausted Reason = "attempts_exhausted"
	Withheld          Reason = "withheld"
	Conflict          Reason = "conflict"
)

// Reasons lists every reason, for metrics that are created at zero and for schemas.
func Reasons() []Reason {
	return []Reason{
		UnsupportedType, TooLarge, Empty, Unprocessable, Rejected, Forbidden, InvalidJob,
		ContentChanged, ContentMissing, VerdictTimeout, AnalysisError, AttemptsExhausted, Withheld, Conflict,
	}
}

// Expected reports whether a failure for this reason is an ordinary outcome and nobody has to act,
// because WildFire does not accept such files, or because the policy withholds them.
func (r Reason) Expected() bool {
	switch r {
	case UnsupportedType, TooLarge, Empty, Withheld:
		return true
	}

	return false
}

// Data is the payload of every event. Fields without a value are left out.
type Data struct {
	JobID       string            `json:"job_id,omitempty"` // on every event but audit events
	Source      string            `json:"source"`
	Filename    string            `json:"filename,omitempty"`
	FilenameB64 []byte            `json:"filename_b64,omitempty"`
	Path        string            `json:"path,omitempty"`
	PathB64     []byte            `json:"path_b64,omitempty"`
	SHA256      string            `json:"sha256,omitempty"` // 64 lower-case hexadecimal digits
	MD5         string            `json:"md5,omitempty"`    // 32 lower-case hexadecimal digits
	Size        int64             `json:"size,omitempty"`   // in bytes
	Filetype    string            `json:"filetype,omitempty"`
	URL         string            `json:"url,omitempty"`
	Verdict     string            `json:"verdict,omitempty"`
	VerdictCode *int              `json:"verdict_code,omitempty"`
	Basis       Basis             `json:"basis,omitempty"`
	ReceivedAt  time.Time         `json:"received_at,omitzero"`
	SubmittedAt time.Time         `json:"submitted_at,omitzero"`
	DecidedAt   time.Time         `json:"decided_at,omitzero"`
	Attempts    int               `json:"attempts,omitempty"`
	Policy      string            `json:"policy,omitempty"` // on submitted events: the rule that allowed the upload
	Error       *Error            `json:"error,omitempty"`  // only on failed events
	Report      *Report           `json:"report,omitempty"` // only on report events
	Audit       *Audit            `json:"audit,omitempty"`  // only on audit events
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// MarshalJSON writes the size of contents even if it is 0.
func (d Data) MarshalJSON() ([]byte, error) {
	type plain Data
	if d.SHA256 == "" || d.Size != 0 {
		return json.Marshal(plain(d))
	}

	return json.Marshal(struct {
		plain
		Size int64 `json:"size"`
	}{plain: plain(d)})
}

// Error says why a job failed.
type Error struct {
	Reason     Reason `json:"reason"`
	Message    string `json:"message"`
	HTTPStatus int    `json:"http_status,omitempty"`
}

// Event says what became known about a job, or what a person did.
type Event struct {
	Type Type
	Time time.Time // when it became known or was done
	Data Data

	// Simulated says that the event comes from a simulated WildFire and says nothing about the
	// contents. It is the extension attribute backburnsimulated.
	Simulated bool
}

// simulatedExtension is the CloudEvents extension attribute of the events of a simulation.
const simulatedExtension = "backburnsimulated"

// ID returns the identity of the event within its source: <job ID>.<event>. The ID of a changed
// event also has the time of the change, because a verdict may change more than once. The ID of an
// audit event is <ID of the action>.audit.<status>. Two sources may have events with the same ID.
func (e Event) ID() string {
	switch {
	case e.Type == Changed:
		return e.Data.JobID + ".changed." + e.Data.DecidedAt.UTC().Format("20060102T150405Z")
	case e.Type == Audited && e.Data.Audit != nil:
		return e.Data.Audit.ID + ".audit." + string(e.Data.Audit.Status)
	}

	return e.Data.JobID + "." + e.Type.Name()
}

// Outcome returns the fourth token of the subject: pending, the verdict, the reason, or the action.
// For an event without one of them it returns "unknown".
func (e Event) Outcome() string {
	switch {
	case e.Type == Submitted:
		return "pending"
	case e.Type == Audited && e.Data.Audit != nil:
		return string(e.Data.Audit.Action)
	case e.Type == Failed && e.Data.Error != nil:
		return string(e.Data.Error.Reason)
	case e.Data.Verdict != "":
		return e.Data.Verdict
	}

	return "unknown"
}

// Subject returns the NATS subject on which the event is published:
// <prefix>.results.<event>.<outcome>.<source>.
func (e Event) Subject(prefix string) string {
	return prefix + ".results." + e.Type.Name() + "." + e.Outcome() + "." + e.Data.Source
}

// cloudEventSubject returns the CloudEvent's subject: the SHA-256 or the link; "" if neither is
// known.
func (e Event) cloudEventSubject() string {
	var a Audit
	if e.Data.Audit != nil {
		a = *e.Data.Audit
	}

	return cmp.Or(e.Data.SHA256, e.Data.URL, a.SHA256, a.URL)
}

// ContentType is the content type of a structured CloudEvent.
const ContentType = "application/cloudevents+json"

// MarshalJSON encodes the event as a structured CloudEvent.
func (e Event) MarshalJSON() ([]byte, error) {
	ce := cloudevents.New()
	ce.SetID(e.ID())
	ce.SetType(string(e.Type))
	ce.SetSource("backburn/" + e.Data.Source)
	ce.SetTime(e.Time.UTC())
	if subject := e.cloudEventSubject(); subject != "" {
		ce.SetSubject(subject)
	}
	if e.Simulated {
		ce.SetExtension(simulatedExtension, true)
	}
	if err := ce.SetData("application/json", e.Data); err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.ID(), err)
	}

	return ce.MarshalJSON()
}

// UnmarshalJSON reads a structured CloudEvent. An unknown event type is an error; unknown fields of
// the data are ignored.
func (e *Event) UnmarshalJSON(b []byte) error {
	// Parse in one pass: the CloudEvents type would parse the data twice.
	var ce struct {
		SpecVersion string    `json:"specversion"`
		ID          string    `json:"id"`
		Type        Type      `json:"type"`
		Source      string    `json:"source"`
		Time        time.Time `json:"time"`
		Data        Data      `json:"data"`
		Simulated   bool      `json:"backburnsimulated"`
	}
	if err := json.Unmarshal(b, &ce); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	switch {
	case ce.SpecVersion != cloudevents.CloudEventsVersionV1 || ce.ID == "" || ce.Source == "":
		return fmt.Errorf("read event %q: not a CloudEvent %s with an id and a source", ce.ID, cloudevents.CloudEventsVersionV1)
	case ce.Type.Name() == "unknown":
		return fmt.Errorf("read event %s: unknown type %q", ce.ID, ce.Type)
	}
	*e = Event{
		Type:      ce.Type,
		Time:      ce.Time,
		Data:      ce.Data,
		Simulated: ce.Simulated,
	}

	return nil
}
