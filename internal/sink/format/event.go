package format

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"backburn/results"
)

// event is a result event with the additional data that its encodings have.
type event struct {
	results.Event
	simulated bool
	version   string // Backburn's version
}

// parse reads a structured CloudEvent. It returns ErrUnknown if this version cannot read the event.
func parse(body []byte, version string) (event, error) {
	e := event{version: version}
	if err := e.UnmarshalJSON(body); err != nil {
		return e, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	var extensions struct {
		Simulated bool `json:"backburnsimulated"`
	}
	if err := json.Unmarshal(body, &extensions); err != nil {
		return e, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	e.simulated = extensions.Simulated

	return e, nil
}

// identity is the event's ID with its source, because two sources may use the same job ID.
func (e event) identity() string { return e.Data.Source + "/" + e.ID() }

// extension returns a file name's extension without the dot, or "".
func extension(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return ""
	}

	return name[i+1:]
}

// SeverityOf returns the severity of an event according to its type and outcome.
func SeverityOf(e results.Event) Severity {
	if e.Type == results.Reported { // the severity is that of the verdict, which had its own event
		return Severity{CEF: 1, OCSF: 1, Syslog: 6}
	}
	if e.Type == results.Audited && (e.Data.Audit == nil || e.Data.Audit.Status != results.AuditFailed) {
		return Severity{CEF: 2, OCSF: 1, Syslog: 5}
	}
	switch e.Data.Verdict {
	case "c2":
		return Severity{CEF: 9, OCSF: 5, Syslog: 2}
	case "malware", "phishing":
		return Severity{CEF: 8, OCSF: 4, Syslog: 2}
	case "grayware":
		return Severity{CEF: 5, OCSF: 3, Syslog: 4}
	case "benign":
		return Severity{CEF: 1, OCSF: 1, Syslog: 6}
	}
	if e.Type == results.Submitted {
		return Severity{CEF: 1, OCSF: 1, Syslog: 6}
	}

	return Severity{CEF: 3, OCSF: 2, Syslog: 4} // a failure, or a verdict that this version does not know
}

// Versions of the standards that the encodings follow.
const (
	ECSVersion  = "8.11.0"
	OCSFVersion = "1.3.0"
)

// ErrUnknown means that this version cannot read the event, for example because it does not know
// the event's type. Only CloudEvents can carry such an event.
var ErrUnknown = errors.New("this version cannot read the event")

// Severity is an event's severity on the scales of the formats.
type Severity struct {
	CEF    int // 0 to 10; also event.severity of ECS
	OCSF   int // severity_id
	Syslog int // RFC 5424, section 6.2.1
}

// malicious reports whether somebody should look at the event. A report does not count, because its
// verdict had its own event.
func (e event) malicious() bool {
	return e.Type != results.Reported && slices.Contains([]string{"malware", "grayware", "phishing", "c2"}, e.Data.Verdict)
}

// summary describes the event in one sentence.
func (e event) summary() string {
	switch e.Type {
	case results.Audited:
		return e.auditSummary()
	case results.Submitted:
		return "WildFire analyzes " + e.sampleName()
	case results.Failed:
		return "No verdict for " + e.sampleName() + ": " + e.Outcome()
	case results.Changed:
		return "WildFire changed its verdict on " + e.sampleName() + " to " + e.Data.Verdict
	case results.Reported:
		if e.report().Status == results.ReportMissing {
			return "WildFire has no report about " + e.sampleName()
		}
		return "WildFire report about " + e.sampleName()
	}

	return "WildFire verdict on " + e.sampleName() + ": " + e.Data.Verdict
}

// report returns the report of a report event, and an empty one for other events.
func (e event) report() results.Report { return deref(e.Data.Report) }

// deref returns what p points to, or the zero value if p is nil.
func deref[T any](p *T) T {
	if p == nil {
		p = new(T)
	}

	return *p
}

// sampleName names what the event is about, for people.
func (e event) sampleName() string {
	return cmp.Or(e.Data.Filename, e.Data.URL, e.Data.SHA256, e.Data.JobID)
}

// audit returns what a person did, and an empty value for other events.
func (e event) audit() results.Audit { return deref(e.Data.Audit) }

// auditOrigin returns where the person acted from: an IP address or a host.
func (e event) auditOrigin() (address, host string) {
	from := e.audit().From
	if _, err := netip.ParseAddr(from); err == nil {
		return from, ""
	}

	return "", from
}

// auditSummary describes an action in one sentence.
func (e event) auditSummary() string {
	a := e.audit()
	what := map[results.AuditAction]string{
		results.AuditRetry:   fmt.Sprintf("retry of dead letter %d", a.Letter),
		results.AuditDrop:    fmt.Sprintf("removal of dead letter %d", a.Letter),
		results.AuditRecheck: "new query to WildFire",
		results.AuditPause:   "pause of uploads",
		results.AuditResume:  "end of the pause of uploads",
	}[a.Action]

	return fmt.Sprintf("Audit: %s, by %s: %s", cmp.Or(what, string(a.Action)), a.By, a.Status)
}
