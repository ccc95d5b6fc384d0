package jets

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Class is what an error of NATS or JetStream means for the caller.
type Class string

// The classes.
const (
	Unavailable Class = "unavailable" // no answer, or "try again": the same request may succeed later
	Conflict    Class = "conflict"    // what the request expected no longer holds: read again, then decide
	Full        Class = "full"        // the stream, account or server has no room now: the same request may succeed later
	Limit       Class = "limit"       // an account or server limit forbids the request
	Gone        Class = "gone"        // the stream, consumer, message, key or object is not there
	Forbidden   Class = "forbidden"   // the user may not do this
	TooOld      Class = "too_old"     // the server, or the stream's configuration, lacks a feature
	TooLarge    Class = "too_large"   // the message, its headers or the batch is larger than allowed
	Invalid     Class = "invalid"     // the server rejects the request as such
	Ended       Class = "ended"       // this process closed the connection or canceled the request
	Unknown     Class = "unknown"     // not an error of NATS, or one without a known meaning
)

// Refused reports whether the request definitely had no effect. After an error of another class it
// may have been carried out.
func (c Class) Refused() bool {
	switch c {
	case Conflict, Full, Limit, Gone, Forbidden, TooOld, TooLarge, Invalid:
		return true
	}
	return false
}

// Is reports whether err is of one of the classes; nil is of none.
func Is(err error, classes ...Class) bool {
	if err == nil {
		return false
	}
	got := Classify(err)
	for _, c := range classes {
		if got == c {
			return true
		}
	}
	return false
}

// Classify says what an error means. It returns "" for nil, and looks through wrapped errors.
func Classify(err error) Class {
	if err == nil {
		return ""
	}
	var classified *Error
	if errors.As(err, &classified) {
		return classified.Class
	}
	// Check the client's own sentinels first: some wrap a server error with a wider meaning.
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.class
		}
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return classifyAPI(api)
	}
	return Unknown
}

// sentinels are the client's own errors. Sentinels that only name a server's code are covered by
// the table of codes.
var sentinels = []struct {
	err   error
	class Class
}{
	{context.Canceled, Ended},
	{nats.ErrConnectionClosed, Ended},
	{nats.ErrConnectionDraining, Ended},
	{nats.ErrDrainTimeout, Ended},
	{jetstream.ErrConnectionClosed, Ended},
	{jetstream.ErrJetStreamPublisherClosed, Ended},
	{jetstream.ErrMsgIteratorClosed, Ended},

	{nats.ErrPermissionViolation, Forbidden},
	{nats.ErrAuthorization, Forbidden},
	{nats.ErrAuthExpired, Forbidden},
	{nats.ErrAuthRevoked, Forbidden},
	{nats.ErrAccountAuthExpired, Forbidden},

	{jetstream.ErrKeyRevisionMismatch, Conflict},
	{jetstream.ErrBucketExists, Conflict},
	{jetstream.ErrObjectAlreadyExists, Conflict},
	{jetstream.ErrConsumerNameAlreadyInUse, Conflict},

	{jetstream.ErrBucketNotFound, Gone},
	{jetstream.ErrKeyNotFound, Gone},
	{jetstream.ErrKeyDeleted, Gone},
	{jetstream.ErrObjectNotFound, Gone},
	{jetstream.ErrConsumerDeleted, Gone},
	{jetstream.ErrNoKeysFound, Gone},
	{jetstream.ErrNoObjectsFound, Gone},

	{nats.ErrMaxPayload, TooLarge},

	{nats.ErrHeadersNotSupported, TooOld},
	{jetstream.ErrLimitMarkerTTLNotSupported, TooOld},
	{jetstream.ErrConsumerMultipleFilterSubjectsNotSupported, TooOld},
	{jetstream.ErrStreamSubjectTransformNotSupported, TooOld},
	{jetstream.ErrStreamSourceSubjectTransformNotSupported, TooOld},
	{jetstream.ErrStreamSourceNotSupported, TooOld},
	{jetstream.ErrStreamSourceMultipleFilterSubjectsNotSupported, TooOld},

	{nats.ErrBadSubject, Invalid},
	{jetstream.ErrInvalidKey, Invalid},
	{jetstream.ErrInvalidBucketName, Invalid},
	{jetstream.ErrInvalidStoreName, Invalid},
	{jetstream.ErrInvalidStreamName, Invalid},
	{jetstream.ErrInvalidConsumerName, Invalid},
	{jetstream.ErrInvalidSubject, Invalid},
	{jetstream.ErrInvalidOption, Invalid},

	{context.DeadlineExceeded, Unavailable},
	{nats.ErrTimeout, Unavailable},
	{nats.ErrNoResponders, Unavailable},
	{nats.ErrDisconnected, Unavailable},
	{nats.ErrConnectionReconnecting, Unavailable},
	{nats.ErrReconnectBufExceeded, Unavailable},
	{nats.ErrNoServers, Unavailable},
	{nats.ErrStaleConnection, Unavailable},
	{jetstream.ErrNoStreamResponse, Unavailable},
	{jetstream.ErrNoHeartbeat, Unavailable},
	{jetstream.ErrServerShutdown, Unavailable},
	{jetstream.ErrConsumerLeadershipChanged, Unavailable},
	{jetstream.ErrAsyncPublishTimeout, Unavailable},
	{jetstream.ErrTooManyStalledMsgs, Unavailable},
	{jetstream.ErrInvalidJSAck, Unavailable},
	{jetstream.ErrInvalidJetStreamResponse, Unavailable},
	{jetstream.ErrConsumerCreationResponseEmpty, Unavailable},
}

// Server codes that package jetstream does not name, and to which other files of this package
// refer.
const (
	codeStoreFailed      jetstream.ErrorCode = 10077
	codeDeleteFailed     jetstream.ErrorCode = 10057
	codeNoStorage        jetstream.ErrorCode = 10047
	codeMaxBytesRequired jetstream.ErrorCode = 10113
	codeMaxStreamBytes   jetstream.ErrorCode = 10122
	codeAPILevel         jetstream.ErrorCode = 10185
	codeSealed           jetstream.ErrorCode = 10109
)

// codes are the error codes whose class does not follow from their HTTP-like status.
var codes = map[jetstream.ErrorCode]Class{
	10070: Conflict, // wrong last message id
	10071: Conflict, // wrong last sequence
	10164: Conflict, // wrong last sequence, from a replicated stream
	10180: Conflict, // minimum last sequence
	10201: Conflict, // a message of an atomic batch is there already
	10013: Conflict, // consumer name in use
	10058: Conflict, // stream name in use with another configuration
	10105: Conflict, // consumer exists and is active
	10148: Conflict, // consumer exists

	10167: Full, // the stream's ingest queue overflows
	10210: Full, // too many atomic batches under way
	10211: Full, // too many fast batches under way
	10002: Full, // the account's limits are reached
	10023: Full, // the server's limits are reached
	10028: Full, // memory

	10047: Limit, // storage reserved by all streams together
	10026: Limit, // consumers
	10027: Limit, // streams
	10113: Limit, // max_bytes is required
	10120: Limit, // no limits that apply
	10121: Limit, // max_ack_pending
	10122: Limit, // max_bytes of one stream
	10125: Limit, // max_batch of a consumer
	10153: Limit, // inactive_threshold of a consumer
	10074: Limit, // replicas without a cluster

	10014: Gone, // consumer
	10037: Gone, // message
	10043: Gone, // sequence
	10059: Gone, // stream
	10149: Gone, // consumer

	10036: TooOld, // not supported in clustered mode
	10166: TooOld, // the stream allows no per-message TTL
	10168: TooOld, // … no counters
	10174: TooOld, // … no atomic batches
	10185: TooOld, // API level
	10188: TooOld, // the stream allows no schedules
	10205: TooOld, // … no fast batches

	10054: TooLarge, // message
	10097: TooLarge, // headers
	10199: TooLarge, // batch

	10006: Unavailable, // not in clustered mode, yet
	10007: Unavailable, // cluster has no assignment for this server
	10009: Unavailable, // not the leader
	10041: Unavailable, // Raft
	10048: Unavailable, // stream assignment
	10096: Unavailable, // stream is not valid, yet
	10104: Unavailable, // a consumer's store
	10118: Unavailable, // stream is offline
	10119: Unavailable, // consumer is offline
	10124: Unavailable, // the stream moves to another server
	10158: Unavailable, // the same message id is being stored
	10194: Unavailable, // stream is offline
	10195: Unavailable, // consumer is offline
	10202: Unavailable, // cluster membership changes
	10226: Unavailable, // the stream is being reconfigured
	10176: Unavailable, // messages of an atomic batch were lost
}

func classifyAPI(e *jetstream.APIError) Class {
	switch e.ErrorCode {
	case codeStoreFailed:
		return storeFailed(e.Description)
	case codeDeleteFailed:
		return deleteFailed(e.Description)
	}
	if c, ok := codes[e.ErrorCode]; ok {
		return c
	}
	switch e.Code {
	case 404:
		return Gone
	case 408, 429, 503:
		return Unavailable
	}
	return Invalid
}

// storeFailed finds the class for the one code of all failures to store a message: only the text
// distinguishes a limit of the stream from a fault of the disk.
func storeFailed(description string) Class {
	switch {
	case strings.Contains(description, "maximum"):
		return Full // messages, bytes, or messages per subject
	case strings.Contains(description, "too large"):
		return TooLarge
	}
	return Unavailable
}

// deleteFailed finds the class from the text as well: the message did not exist, or must not be
// deleted.
func deleteFailed(description string) Class {
	switch {
	case strings.Contains(description, "no message found"), strings.Contains(description, "not found"), strings.Contains(description, "EOF"):
		return Gone
	case strings.Contains(description, "not permitted"):
		return Invalid
	}
	return Unknown
}

// Error is a failed request with its class. Its text ends with the remedy, if an operator can do
// something.
type Error struct {
	Op    string // the operation, such as "stream BACKBURN_JOBS"
	Class Class
	Err   error
}

// Unwrap returns what the client returned.
func (e *Error) Unwrap() error { return e.Err }
