package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"backburn/results"
)

// event is an event with what its encodings need besides.
type event struct {
	results.Event
	simulated bool
	product   string // version
}

func parse(body []byte, product string) (event, error) {
	e := event{product: product}
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

// identity is the event's id with its source, since two sources may use the same job id.
func (e event) identity() string { return e.Data.Source + "/" + e.ID() }

// extension is the last part of a file's name, without the dot; "" for none.
func extension(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return ""
	}
	return name[i+1:]
}

// SeverityOf gives the severity of an event by its type and outcome.
func SeverityOf(e results.Event) Severity {
	if e.Type == results.Reported { // the verdict was told before
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
	return Severity{CEF: 3, OCSF: 2, Syslog: 4} // a failure, or a verdict of a later version
}

// The versions of the standards that are written.
const (
	ECSVersion  = "8.11.0"
	OCSFVersion = "1.3.0"
)

// ErrUnknown is an event of a type that this version does not know. Only CloudEvents can carry it.
var ErrUnknown = errors.New("an event of a type that this version does not know")

// Severity is how bad an event is, on the scales of the formats.
type Severity struct {
	CEF    int // 0 to 10; also event.severity of ECS
	OCSF   int // severity_id
	Syslog int // RFC 5424, section 6.2.1
}

// malicious reports whether somebody should look at it. A report is about what was told before.
func (e event) malicious() bool {
	return e.Type != results.Reported && slices.Contains([]string{"malware", "grayware", "phishing", "c2"}, e.Data.Verdict)
}

// summary is the event in a sentence.
func (e event) summary() string {
	switch e.Type {
	case results.Audited:
		return e.auditSummary()
	case results.Submitted:
		return "WildFire analyzes " + e.subject()
	case results.Failed:
		return "No verdict for " + e.subject() + ": " + e.Outcome()
	case results.Changed:
		return "WildFire changed its verdict of " + e.subject() + " to " + e.Data.Verdict
	case results.Reported:
		if e.found().Status == results.ReportMissing {
			return "WildFire has no report about " + e.subject()
		}
		return "WildFire report about " + e.subject()
	}
	return "WildFire verdict of " + e.subject() + ": " + e.Data.Verdict
}

// found is the report of a report event, and an empty one of others.
func (e event) found() results.Report {
	if e.Data.Report == nil {
		return results.Report{}
	}
	return *e.Data.Report
}

// subject is what the event is about, for people.
func (e event) subject() string {
	for _, s := range []string{e.Data.Filename, e.Data.URL, e.Data.SHA256} {
		if s != "" {
			return s
		}
	}
	return e.Data.JobID
}

// act is what a person did, and nothing in other events.
func (e event) act() results.Audit {
	if e.Data.Audit == nil {
		return results.Audit{}
	}
	return *e.Data.Audit
}

// actedFrom is where a person was who acted: an IP address, or a host.
func (e event) actedFrom() (address, host string) {
	from := e.act().From
	if _, err := netip.ParseAddr(from); err == nil {
		return from, ""
	}
	return "", from
}

// auditSummary is an action in a sentence.
func (e event) auditSummary() string {
	a := e.act()
	what := map[results.AuditAction]string{
		results.AuditRetry:   fmt.Sprintf("retry of dead letter %d", a.Letter),
		results.AuditDrop:    fmt.Sprintf("removal of dead letter %d", a.Letter),
		results.AuditRecheck: "another question to WildFire",
		results.AuditPause:   "pause of uploads",
		results.AuditResume:  "end of the pause of uploads",
	}[a.Action]
	if what == "" {
		what = string(a.Action)
	}
	return fmt.Sprintf("Audit: %s, by %s: %s", what, a.By, a.Status)
}
