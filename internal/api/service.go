package api

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/sse"
	"backburn/pipeline/queue"
)

// Deps has the API's dependencies. All fields are required.
type Deps struct {
	// Ready returns nil while NATS is connected. It answers immediately.
	Ready  func(ctx context.Context) error
	Intake *queue.Publisher // accepts submissions
	Queue  *queue.Queue

	Registry *prometheus.Registry
	Log      zerolog.Logger
}

// service answers requests.
type service struct {
	cfg        Config
	deps       Deps
	tokens     *keyring
	metrics    *metrics
	inProgress atomic.Int64 // number of submissions in progress
	streams    sse.Places
}

// writeUnavailable answers a request for which NATS gave no answer.
func (s *service) writeUnavailable(w http.ResponseWriter, err error) {
	s.deps.Log.Error().Err(err).Msg("cannot read the queue for an HTTP client")
	setRetryAfter(w, natsTimeout)
	writeProblem(w, http.StatusServiceUnavailable, "unavailable", "the queue does not answer")
}

// checkReady reports whether NATS is connected. If it is not, checkReady has answered the request.
func (s *service) checkReady(w http.ResponseWriter, r *http.Request) bool {
	if err := s.deps.Ready(r.Context()); err != nil {
		s.writeUnavailable(w, err)
		return false
	}

	return true
}
