package api

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"backburn/results"
)

// problemBase is the beginning of every problem's type. docs/openapi.yaml lists all types.
const problemBase = "urn:backburn:problem:"

// problem answers with a problem document (RFC 9457).
func problem(w http.ResponseWriter, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, status, map[string]any{"type": problemBase + kind, "title": http.StatusText(status), "status": status, "detail": detail})
}

// refuseListener answers requests that the listener refuses.
func refuseListener(w http.ResponseWriter, status int, detail string) {
	kind := map[int]string{
		http.StatusMisdirectedRequest: "misdirected",
		http.StatusForbidden:          "forbidden",
	}[status]
	if kind == "" {
		kind = "internal"
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	problem(w, status, kind, detail)
}

// retry sets Retry-After.
func retry(w http.ResponseWriter, after time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(after.Seconds())))))
}

// answer answers with JSON.
func answer(w http.ResponseWriter, status int, v any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	write(w, status, v)
}

func write(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // cannot happen: all values are our own types
		status, b = http.StatusInternalServerError, []byte(`{"type":"`+problemBase+`internal","status":500}`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// answerEvent answers with a final event, as consumers get it.
func answerEvent(w http.ResponseWriter, e results.Event) {
	w.Header().Set("Content-Type", results.ContentType)
	answer(w, http.StatusOK, e)
}
