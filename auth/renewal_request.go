package auth

// reason is why a renewal starts. Its values are label values of a metric.
type reason string

const (
	reasonInitial  reason = "initial"  // there was no token
	reasonEarly    reason = "early"    // the token is in its renewal window
	reasonExpired  reason = "expired"  // the token has expired
	reasonRejected reason = "rejected" // a service refused the token
)

var reasons = []reason{reasonInitial, reasonEarly, reasonExpired, reasonRejected}

// renewalRequest says why a renewal starts, and which token it replaces.
type renewalRequest struct {
	reason  reason
	current *cachedToken // the token to replace, or nil
	probe   bool         // a cool-down for a refused token has ended, so the service may accept even the same token now
}

// refusedBefore reports whether token is the token that was just refused.
func (req renewalRequest) refusedBefore(token string) bool {
	return req.current != nil && req.current.rejected.Load() && !req.probe && Fingerprint(token) == req.current.id
}
