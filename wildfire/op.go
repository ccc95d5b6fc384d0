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

// submits tells the operations that the daily allowance of uploads is spent on; the others cost
// queries.
func (op Op) submits() bool {
	switch op {
	case OpSubmitFile, OpSubmitURL, OpSubmitLink, OpSubmitLinks:
		return true
	}
	return false
}

// fetches tells the operations that ask for something WildFire may not have, or not have yet.
func (op Op) fetches() bool {
	switch op {
	case OpReport, OpSample, OpPCAP, OpWebArtifacts, OpTestFile:
		return true
	}
	return false
}

// multipart tells the operations that refuse an urlencoded body, with 415.
func (op Op) multipart() bool { return strings.HasPrefix(string(op), "submit/") }
