package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// Repair looks whether the streams and buckets are there and within their bounds, and puts right
// what somebody removed or changed from outside: limits that are too narrow drop what is needed. It
// returns the names of those that it made or changed.
func (q *Queue) Repair(ctx context.Context) ([]string, error) {
	var wrong []string
	for _, want := range q.topology.Streams() {
		s, err := q.js.Stream(ctx, want.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			wrong = append(wrong, want.Name)
		case err != nil:
			return nil, fmt.Errorf("stream %s: %w", want.Name, err)
		case !fits(s.CachedInfo().Config, want):
			wrong = append(wrong, want.Name)
		}
	}

	for _, bucket := range []string{"KV_" + q.ControlBucket(), "OBJ_" + q.FilesBucket()} {
		if _, err := q.js.Stream(ctx, bucket); errors.Is(err, jetstream.ErrStreamNotFound) {
			wrong = append(wrong, bucket)
		}
	}

	if len(wrong) == 0 {
		return nil, nil
	}

	return wrong, q.Provision(ctx)
}

// fits reports whether a stream keeps what it has to, and is read and written as it has to be.
func fits(is, want jetstream.StreamConfig) bool {
	return is.MaxBytes == want.MaxBytes &&
		is.MaxAge == want.MaxAge &&
		is.Discard == want.Discard &&
		max(is.Replicas, 1) == max(want.Replicas, 1) &&
		sameLimit(is.MaxMsgs, want.MaxMsgs) &&
		sameLimit(is.MaxMsgsPerSubject, want.MaxMsgsPerSubject) &&
		is.MaxMsgSize <= 0 &&
		slices.Equal(is.Subjects, want.Subjects) &&
		(want.Duplicates == 0 || is.Duplicates == want.Duplicates) &&
		(is.AllowDirect || !want.AllowDirect) &&
		(is.AllowAtomicPublish || !want.AllowAtomicPublish) &&
		(is.AllowMsgTTL || !want.AllowMsgTTL) &&
		slices.EqualFunc(is.Sources, want.Sources, func(a, b *jetstream.StreamSource) bool { return a.Name == b.Name })
}

// sameLimit compares limits, of which those that are not positive mean none.
func sameLimit(a, b int64) bool { return max(a, 0) == max(b, 0) }
