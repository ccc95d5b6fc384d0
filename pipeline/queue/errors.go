package queue

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"backburn/internal/jets"
	"backburn/pipeline"
)

// permanent returns the error if an immediate retry cannot succeed, or nil.
func permanent(err error) error {
	switch class := jets.Classify(err); {
	case class == jets.Conflict:
		return pipeline.ErrConflict
	case class == jets.Full:
		return fmt.Errorf("%w: %w", pipeline.ErrFull, err)
	case class.Refused(), errors.Is(err, nats.ErrConnectionClosed):
		return jets.Explain("", err)
	}

	return nil
}

// refused reports whether a failed publish definitely had no effect.
func refused(err error) bool { return jets.Classify(err).Refused() }
