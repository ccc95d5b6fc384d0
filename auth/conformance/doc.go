// Package conformance tests package auth against ory/fosite, a strict implementation of
// RFC 6749 and 7636. It is a module of its own, so that fosite's dependencies stay out of
// the product's. Run its tests with "cd auth/conformance && go test ./...".
package conformance
