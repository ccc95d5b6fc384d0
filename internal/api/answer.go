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

// writeProblem answers with a problem document (RFC 9457).
func writeProblem(w http.ResponseWriter, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	writeBody(w, status, map[string]any{"type": problemBase + kind, "title": http.StatusText(status), "status": status, "detail": detail})
}

// writeRefusal answers requests that the listener refuses.
func writeRefusal(w http.ResponseWriter, status int, detail string) {
	kind := map[int]string{
		http.StatusMisdirectedRequest: "misdirected",
		http.StatusForbidden:          "forbidden",
	}[status]
	if kind == "" {
		kind = "internal"
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	writeProblem(w, status, kind, detail)
}

// setRetryAfter sets Retry-After.
func setRetryAfter(w http.ResponseWriter, after time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(after.Seconds())))))
}

// writeJSON answers with JSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	writeBody(w, status, v)
}

func writeBody(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // cannot happen: all values are our own types
		status, b = http.StatusInternalServerError, []byte(`{"type":"`+problemBase+`internal","status":500}`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// writeEvent answers with a final event, as consumers get it.
func writeEvent(w http.ResponseWriter, e results.Event) {
	w.Header().Set("Content-Type", results.ContentType)
	writeJSON(w, http.StatusOK, e)
}
