// Package authtest has servers to test credentials against: an authorization server that behaves
// like the systems that package auth supports, and a bucket in memory.
//
// The grants, their rules and their errors are those of go-oauth2/oauth2, a server that was not
// written here. This package adds the differences between vendors (how a client authenticates,
// whether refresh tokens roll, which fields an answer omits) and network faults.
//
// It is for tests. It does not check users' passwords: every authorization request is granted at
// once, unless it lacks Config.InstanceID.
package authtest
