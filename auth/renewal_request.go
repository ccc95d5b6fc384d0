package auth

// reason is why a renewal starts. Its values are labels of a metric.
type reason string

const (
	reasonInitial  reason = "initial"  // there was no token
	reasonEarly    reason = "early"    // the token is in its renewal window
	reasonExpired  reason = "expired"  // the token has expired
	reasonRejected reason = "rejected" // a service refused the token
)

var reasons = []reason{reasonInitial, reasonEarly, reasonExpired, reasonRejected}

// renewalRequest describes the purpose of a renewal.
type renewalRequest struct {
	reason  reason
	current *cachedToken // the current token, or nil
	probe   bool         // a cool-down for a refused token has ended, so the same token may be accepted now
}

// refusedBefore reports whether token is the token that was just refused.
func (w renewalRequest) refusedBefore(token string) bool {
	return w.current != nil && w.current.rejected.Load() && !w.probe && Fingerprint(token) == w.current.id
}
