package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// withSecurityHeaders sets headers that prevent caching, guessing of content types, and embedding.
// A page may set its own Content-Security-Policy.
func withSecurityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// writeJSON encodes the value before it writes anything, so an encoding error gives a 500 and not a
// partial answer.
func writeJSON(w http.ResponseWriter, code int, value any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(value); err != nil {
		code = http.StatusInternalServerError
		b.Reset()
		b.WriteString("{\"error\": \"the answer cannot be encoded\"}\n")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = b.WriteTo(w) // the client may be gone
}
