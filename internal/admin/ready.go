package admin

import (
	"net/http"

	"backburn/internal/health"
)

// The states in the body of /readyz and /healthz.
const (
	stateOK     = "ok"
	stateFailed = "failed"
)

// Readiness is the body of /readyz. Status is "failed" if a part has failed, or is needed and still
// unknown; otherwise "ok". A process with a degraded part is ready.
type Readiness struct {
	Status string          `json:"status"`
	Parts  []health.Status `json:"parts"`
}

// readyHandler answers /readyz from the registry, without further checks.
func readyHandler(parts func() []health.Status) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		body, code := Readiness{Status: stateOK, Parts: []health.Status{}}, http.StatusOK
		if parts != nil {
			body.Parts = parts()
		}
		if !health.Ready(body.Parts) {
			body.Status, code = stateFailed, http.StatusServiceUnavailable
		}

		writeJSON(w, code, body)
	}
}
