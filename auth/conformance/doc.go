// Package conformance tests package auth against ory/fosite, a strict implementation of RFC 6749
// and 7636. It is a separate module, so that fosite's dependencies are not dependencies of the
// product. Run its tests with "cd auth/conformance && go test ./...".
package conformance
