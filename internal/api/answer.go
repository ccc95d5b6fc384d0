package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// problemBase is the beginning of every problem's type. docs/openapi.yaml lists all types.
const problemBase = "urn:backburn:problem:"

// writeProblem answers with a problem document (RFC 9457).
func writeProblem(w http.ResponseWriter, status int, kind, detail string) {
	writeBody(w, status, "application/problem+json", map[string]any{"type": problemBase + kind, "title": http.StatusText(status), "status": status, "detail": detail})
}

// writeRefusal answers requests that the listener refuses.
func writeRefusal(w http.ResponseWriter, status int, detail string) {
	kind := map[int]string{
		http.StatusMisdirectedRequest: "misdirected",
		http.StatusForbidden:          "forbidden",
	}[status]
	w.Header().Set("X-Content-Type-Options", "nosniff")
	writeProblem(w, status, cmp.Or(kind, "internal"), detail)
}

func setRetryAfter(w http.ResponseWriter, after time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(after.Seconds())))))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	writeBody(w, status, "application/json", v)
}

func writeBody(w http.ResponseWriter, status int, contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil { // cannot happen: all values are our own types
		status, b = http.StatusInternalServerError, []byte(`{"type":"`+problemBase+`internal","status":500}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// fault is an error with the problem document to send.
type fault struct {
	status       int
	kind, detail string
}

func (f *fault) Error() string { return f.detail }

func badRequest(format string, a ...any) error {
	return &fault{http.StatusBadRequest, "invalid-request", fmt.Sprintf(format, a...)}
}

// unsupported returns a fault for a body with an encoding that would have to be decoded first.
func unsupported(format string, a ...any) error {
	return &fault{http.StatusUnsupportedMediaType, "unsupported-media", fmt.Sprintf(format, a...)}
}
