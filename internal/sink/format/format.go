package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"backburn/results"
)

// Name is a format.
type Name string

// The formats.
const (
	CloudEvents Name = "cloudevents" // as published
	ECS         Name = "ecs"         // JSON
	OCSF        Name = "ocsf"        // JSON
	CEF         Name = "cef"         // a line of text
)

// The versions of the standards that are written.
const (
	ECSVersion  = "8.11.0"
	OCSFVersion = "1.3.0"
)

// Names lists the formats.
func Names() []Name { return []Name{CloudEvents, ECS, OCSF, CEF} }

// Valid reports whether there is such a format.
func (n Name) Valid() bool { return slices.Contains(Names(), n) }

// ContentType is the media type of an encoded event.
func (n Name) ContentType() string {
	switch n {
	case CloudEvents:
		return results.ContentType
	case CEF:
		return "text/plain; charset=utf-8"
	}
	return "application/json"
}

// ErrUnknown is an event of a type that this version does not know. Only CloudEvents can carry it.
var ErrUnknown = errors.New("an event of a type that this version does not know")

// Encode writes an event, which is a structured CloudEvent, on one line and without its end.
// product is the version of Backburn. It returns ErrUnknown for events that the format can't hold.
func (n Name) Encode(body []byte, product string) ([]byte, error) {
	if n == CloudEvents {
		var line bytes.Buffer
		if err := json.Compact(&line, body); err != nil {
			return nil, fmt.Errorf("event: %w", err)
		}
		return line.Bytes(), nil
	}

	e, err := parse(body, product)
	if err != nil {
		return nil, err
	}
	switch n {
	case ECS:
		return encodeJSON(e.ecs())
	case OCSF:
		return encodeJSON(e.ocsf())
	case CEF:
		return []byte(e.cef()), nil
	}
	return nil, fmt.Errorf("format %q: there is none", n)
}

// encodeJSON leaves "<", ">" and "&" as they are: links are full of them.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

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

// malicious reports whether somebody should look at it.
func (e event) malicious() bool {
	return slices.Contains([]string{"malware", "grayware", "phishing", "c2"}, e.Data.Verdict)
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

// summary is the event in a sentence.
func (e event) summary() string {
	switch e.Type {
	case results.Submitted:
		return "WildFire analyzes " + e.subject()
	case results.Failed:
		return "No verdict for " + e.subject() + ": " + e.Outcome()
	case results.Changed:
		return "WildFire changed its verdict of " + e.subject() + " to " + e.Data.Verdict
	}
	return "WildFire verdict of " + e.subject() + ": " + e.Data.Verdict
}

// Severity is how bad an event is, on the scales of the formats.
type Severity struct {
	CEF    int // 0 to 10; also event.severity of ECS
	OCSF   int // severity_id
	Syslog int // RFC 5424, section 6.2.1
}

// SeverityOf gives the severity of an event by its type and outcome.
func SeverityOf(e results.Event) Severity {
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

// extension is the last part of a file's name, without the dot; "" for none.
func extension(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return ""
	}
	return name[i+1:]
}
