// Package conformance runs the "nats" command line of docs/events.md and docs/gateways.md under the
// permissions of the roles. It is a separate module, so that the dependencies of that program are
// not dependencies of the product. Run its tests with "cd internal/acl/conformance && go test
// ./...".
package conformance
