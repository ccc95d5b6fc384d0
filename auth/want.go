package auth

// reason is why a renewal starts; its values label a metric.
type reason string

const (
	reasonInitial  reason = "initial"  // there was no token
	reasonEarly    reason = "early"    // the token is in its renewal window
	reasonExpired  reason = "expired"  // the token has ended
	reasonRejected reason = "rejected" // a service refused the token
)

var reasons = []reason{reasonInitial, reasonEarly, reasonExpired, reasonRejected}

// want says what a renewal is for.
type want struct {
	reason reason
	have   *held // the current token, or nil
	probe  bool  // a cool-down for a refused token has ended: the same token may do now
}

// refused reports whether a token endpoint gave the token again that was just refused.
func (w want) refused(token string) bool {
	return w.have != nil && w.have.rejected.Load() && !w.probe && Fingerprint(token) == w.have.id
}
