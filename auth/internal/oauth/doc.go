// Package oauth makes single token requests (RFC 6749) in the forms that several vendors require,
// and turns every failure into an *Error without secrets.
//
// It stores no tokens and retries nothing.
package oauth
