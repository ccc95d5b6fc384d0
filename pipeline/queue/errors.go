package queue

import (
	"context"
	"errors"
	"fmt"

	"backburn/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrConflict says that somebody else changed a record of the ledger in between: read it again.
var ErrConflict = errors.New("changed by somebody else")

// The server's error codes that mean something here.
const (
	codeStreamFull    jetstream.ErrorCode = 10077
	codeTooManyAsync  jetstream.ErrorCode = 10167
	codeNoStorage     jetstream.ErrorCode = 10047
	codeNoSuchMessage jetstream.ErrorCode = 10043
	codeBusyKey       jetstream.ErrorCode = 10164
	codeBusyID        jetstream.ErrorCode = 10158 // a message with the same id is on its way
)

// isConflict reports that the server found a subject at another sequence than was expected.
func isConflict(err error) bool {
	var api *jetstream.APIError

	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == codeBusyKey)
}

// permanent returns the error that another try won't cure, or nil.
func permanent(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && (api.ErrorCode == codeStreamFull || api.ErrorCode == codeTooManyAsync):
		return fmt.Errorf("%w: %s", pipeline.ErrFull, api.Description)
	case errors.As(err, &api) && api.Code != 503 && api.ErrorCode != codeBusyID:
		return err
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubject):
		return err
	}

	return nil
}

// refused reports whether a failed publish certainly had no effect.
func refused(err error) bool {
	var api *jetstream.APIError

	return errors.Is(err, pipeline.ErrFull) || errors.Is(err, nats.ErrMaxPayload) ||
		errors.As(err, &api) && api.Code != 503 && api.ErrorCode != codeBusyID
}

// isGone reports that a stream or bucket is not there.
func isGone(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}

// isUnavailable reports the server's own "try again": 503 with a cluster that has no
// leader or not enough peers yet, or a request that timed out, or that a server which is
// still restoring does not take.
func isUnavailable(err error) bool {
	if errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return true
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code == 503 && api.ErrorCode != jetstream.JSErrCodeMessageNotFound
}

func isNoStorage(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeNoStorage
}
