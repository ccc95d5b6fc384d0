// Package oauth makes single token requests of RFC 6749, as the servers of several vendors
// want them, and turns every failure into an *Error that holds no secret.
//
// It keeps no tokens and repeats nothing.
package oauth
