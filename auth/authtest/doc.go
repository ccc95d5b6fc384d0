// Package authtest has servers to test credentials against: an authorization server with
// the habits of the systems that package auth knows, and a bucket in memory.
//
// The grants, their rules and their errors are those of go-oauth2/oauth2, a server that was
// not written here. Around it stand the habits that differ from vendor to vendor: how a
// client authenticates itself, whether refresh tokens roll, what is left out of an answer,
// and the faults of the networks in between.
//
// It is for tests. It checks no passwords of people: every authorization request is granted
// at once, unless it lacks what the hub sends along.
package authtest
