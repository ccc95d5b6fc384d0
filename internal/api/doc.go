// Package api is the HTTP API for gateways that do not speak NATS:
//
//	POST /v1/submit             hands a file or a link in; ?wait=10s waits for what becomes of it
//	GET  /v1/jobs/{id}          where a job is, and its final event
//	GET  /v1/verdicts/{sha256}  what is known of contents
//	GET  /v1/events             events as they come (server-sent events)
//
// docs/openapi.yaml describes them. Every request shows a bearer token (RFC 6750); errors are
// problem documents (RFC 9457). A token speaks for one source, and sees the jobs and events of
// that source alone.
//
// A submission is answered once it is durable, so an answer of 2xx means what an
// acknowledgment of JetStream means. Bodies are streamed on: what fits a message is held in
// memory, of the rest one chunk. Every call on behalf of a client has a bound; where NATS does not
// answer within it, the client gets 503 with Retry-After. It does not scan, judge, or keep anything
// itself. Limits before authentication are those of package httpserver.
package api
