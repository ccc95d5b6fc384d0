package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

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

// Encode writes an event, which is a structured CloudEvent, on one line and without its end.
// product is the version of Backburn. It returns ErrUnknown for events that the format cannot hold.
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
