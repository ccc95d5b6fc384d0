package ui

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
)

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// writeJSON encodes before it writes.
func writeJSON(w http.ResponseWriter, code int, value any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(value); err != nil {
		code = http.StatusInternalServerError
		b = *bytes.NewBufferString(`{"error": "the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = b.WriteTo(w) // the client may be gone
}
