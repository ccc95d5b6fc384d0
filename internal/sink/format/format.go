package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"backburn/results"
)

// Name is the name of a format.
type Name string

// The formats.
const (
	CloudEvents Name = "cloudevents" // as published
	ECS         Name = "ecs"         // JSON
	OCSF        Name = "ocsf"        // JSON
	CEF         Name = "cef"         // one line of text
)

// Names lists the formats.
func Names() []Name { return []Name{CloudEvents, ECS, OCSF, CEF} }

// Valid reports whether the format exists.
func (n Name) Valid() bool { return slices.Contains(Names(), n) }

// ContentType returns the media type of an encoded event.
func (n Name) ContentType() string {
	switch n {
	case CloudEvents:
		return results.ContentType
	case CEF:
		return "text/plain; charset=utf-8"
	}

	return "application/json"
}

// Encode encodes a structured CloudEvent as one line without a line end. version is Backburn's
// version. It returns ErrUnknown for events that the format cannot express.
func (n Name) Encode(body []byte, version string) ([]byte, error) {
	if n == CloudEvents {
		var line bytes.Buffer
		if err := json.Compact(&line, body); err != nil {
			return nil, fmt.Errorf("event: %w", err)
		}
		return line.Bytes(), nil
	}

	e, err := parse(body, version)
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

	return nil, fmt.Errorf("unknown format %q", n)
}

// encodeJSON encodes a value as JSON on one line. It does not escape "<", ">" and "&", because
// links contain many of them.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}

	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
