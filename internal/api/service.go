package api

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/sse"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// Queue is the part of *queue.Queue that the API uses.
type Queue interface {
	Inspector() *queue.Inspector
	JetStream() jetstream.JetStream
	Ledger() *queue.Ledger
	Prefix() string // nats.prefix
}

// Intake accepts submissions.
type Intake interface {
	Submit(ctx context.Context, j pipeline.Job, c queue.Input) (queue.Receipt, error)
}

// Deps has the API's dependencies. All fields are required unless stated otherwise.
type Deps struct {
	// Ready returns nil while NATS is connected. It answers immediately.
	Ready  func(ctx context.Context) error
	Intake Intake
	Queue  Queue

	Registry *prometheus.Registry // optional
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
