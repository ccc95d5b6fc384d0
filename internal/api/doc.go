// Package api is the HTTP API for gateways that do not speak NATS:
//
//	POST /v1/submit             submits a file or a link; ?wait=10s waits for the final event
//	GET  /v1/jobs/{id}          returns the state of a job, and its final event
//	GET  /v1/verdicts/{sha256}  returns the known state of contents
//	GET  /v1/events             streams events (server-sent events)
//
// docs/openapi.yaml describes them. Every request needs a bearer token (RFC 6750); errors are
// problem documents (RFC 9457). A token belongs to one source, and sees only the jobs and events of
// that source.
//
// A submission is answered once it is durable, so a 2xx answer means the same as an acknowledgment
// from JetStream. A body that fits into a message is held in memory; a larger body is streamed, one
// chunk at a time. Every call on behalf of a client has a time limit; if NATS does not answer
// within it, the client gets 503 with Retry-After. The API does not scan, judge or
// store anything itself. Limits before authentication are those of package httpserver.
package api
