package pipeline

// Submit says how much of a file or link may leave for WildFire.
type Submit string

// The values of Submit, from the most permissive to the strictest. Any other value means
// SubmitNever, except that "" in a Job leaves the decision to the policy.
const (
	SubmitAlways Submit = "always" // contents may be uploaded
	SubmitLookup Submit = "lookup" // WildFire is asked about the hash or the link; contents never leave
	SubmitNever  Submit = "never"  // nothing leaves, not even the hash
)

// Submits lists the values of Submit.
func Submits() []Submit { return []Submit{SubmitAlways, SubmitLookup, SubmitNever} }

// rank ranks the values by how much may leave.
func (s Submit) rank() int {
	switch s {
	case SubmitAlways:
		return 2
	case SubmitLookup:
		return 1
	}

	return 0
}
