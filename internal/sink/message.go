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

// newMessage encodes an event. It returns format.ErrUnknown where the format has no place for it.
func newMessage(body []byte, f format.Name, product string) (Message, error) {
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
	encoded, err := f.Encode(body, product)
	if err != nil {
		return Message{}, err
	}

	m := Message{
		ID:    deliveryID(ce.Source, ce.ID),
		Name:  typeName(ce.Type),
		Time:  ce.Time.UTC(),
		Event: body,
		Body:  encoded,
		Type:  f.ContentType(),
	}
	var e results.Event
	_ = e.UnmarshalJSON(body) // of a later version: as bad as a failure
	m.Severity = format.SeverityOf(e)
	return m, nil
}

// deliveryID names an event for receivers. Job ids come from outside and may hold anything; a
// header may not. Standard Webhooks sign the id with a full stop behind it, so there is none in it.
func deliveryID(source, id string) string {
	h := sha256.Sum256([]byte(source + "\x00" + id))
	return "msg_" + base64.RawURLEncoding.EncodeToString(h[:18])
}

// typeName is the middle of a type: "verdict" of "backburn.verdict.v1".
func typeName(ceType string) string {
	if parts := strings.Split(ceType, "."); len(parts) == 3 {
		return parts[1]
	}
	return "event"
}

// Message is an event on its way to a target.
type Message struct {
	ID       string // of the delivery: the same each time, and different for each event
	Name     string // the type without prefix and version, such as "verdict"
	Time     time.Time
	Severity format.Severity
	Event    []byte // the CloudEvent, as it was published
	Body     []byte // in the format of the sink, on one line and without its end
	Type     string // media type of the body
}
