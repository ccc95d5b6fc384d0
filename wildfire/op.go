package wildfire

import "strings"

// Op is an operation of the API: its path below /publicapi.
type Op string

// The operations (WildFire API Reference, "Resources").
const (
	OpSubmitFile         Op = "submit/file"
	OpSubmitURL          Op = "submit/url"
	OpSubmitLink         Op = "submit/link"
	OpSubmitLinks        Op = "submit/links"
	OpChangeRequest      Op = "submit/change-request"
	OpLocalVerdictChange Op = "submit/local-verdict-change"
	OpVerdict            Op = "get/verdict"
	OpVerdicts           Op = "get/verdicts"
	OpVerdictsChanged    Op = "get/verdicts/changed"
	OpReport             Op = "get/report"
	OpSample             Op = "get/sample"
	OpPCAP               Op = "get/pcap"
	OpWebArtifacts       Op = "get/webartifacts"
	OpTestFile           Op = "test"
)

// costsUpload reports whether the operation counts as an upload in the daily quota. The others
// count as queries, if they count at all.
func (op Op) costsUpload() bool {
	switch op {
	case OpSubmitFile, OpSubmitURL, OpSubmitLink, OpSubmitLinks:
		return true
	}
	return false
}

// maybeNotFound reports whether the operation requests something that WildFire may not have, or may
// not have yet.
func (op Op) maybeNotFound() bool {
	switch op {
	case OpReport, OpSample, OpPCAP, OpWebArtifacts, OpTestFile:
		return true
	}
	return false
}

// submits reports whether the operation submits a file, a link or a change of a verdict. WildFire
// answers such an operation with a receipt, and with 415 if the body is not multipart.
func (op Op) submits() bool { return strings.HasPrefix(string(op), "submit/") }
