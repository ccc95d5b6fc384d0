package sink

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"backburn/internal/sink/format"
	"backburn/results"
)

// newMessage encodes an event. It returns format.ErrUnknown if the format cannot express it.
func newMessage(body []byte, f format.Name, version string) (Message, error) {
	var ce struct {
		ID     string    `json:"id"`
		Source string    `json:"source"`
		Type   string    `json:"type"`
		Time   time.Time `json:"time"`
	}
	if err := json.Unmarshal(body, &ce); err != nil {
		return Message{}, fmt.Errorf("event: %w", err)
	}
	if ce.ID == "" || ce.Source == "" || ce.Type == "" {
		return Message{}, fmt.Errorf("event %q: not a CloudEvent with id, source and type", ce.ID)
	}
	encoded, err := f.Encode(body, version)
	if err != nil {
		return Message{}, err
	}

	m := Message{
		ID:          deliveryID(ce.Source, ce.ID),
		Name:        typeName(ce.Type),
		Time:        ce.Time.UTC(),
		Event:       body,
		Body:        encoded,
		ContentType: f.ContentType(),
	}
	var e results.Event
	_ = e.UnmarshalJSON(body) // if the type is of a later version, the severity is that of a failure
	m.Severity = format.SeverityOf(e)

	return m, nil
}

// deliveryID returns the event's ID for receivers. Job IDs are untrusted and may contain any
// characters, but a header may not. Standard Webhooks signs the ID followed by a full stop, so the
// result contains none.
func deliveryID(source, id string) string {
	h := sha256.Sum256([]byte(source + "\x00" + id))
	return "msg_" + base64.RawURLEncoding.EncodeToString(h[:18])
}

// typeName returns the middle of a type: "verdict" for "backburn.verdict.v1".
func typeName(ceType string) string {
	if parts := strings.Split(ceType, "."); len(parts) == 3 {
		return parts[1]
	}

	return "event"
}

// Message is an encoded event for a target.
type Message struct {
	ID          string // delivery ID: different for each event, and the same in each delivery of it
	Name        string // name of the event type, such as "verdict"
	Time        time.Time
	Severity    format.Severity
	Event       []byte // the CloudEvent as published
	Body        []byte // the event in the sink's format: one line without a line end
	ContentType string // media type of Body
}
