package wildfire

// What fuzzing and benchmarks reach for directly.
var (
	ParseVerdicts   = func(b []byte) ([]VerdictRecord, error) { return parseVerdicts(b, maxTags) }
	ParseReceipts   = parseReceipts
	ParseLinks      = parseLinks
	ParseReport     = parseReport
	ParseURLReport  = parseURLReport
	ParseMAEC       = parseMAEC
	ParseRetryAfter = parseRetryAfter
	Tidy            = tidy
	Printable       = printable
)

// ErrorMessage is what an error body adds to an APIError.
func ErrorMessage(body []byte, credential string) string {
	root, err := parseXML(body, maxTags)
	if err != nil {
		return ""
	}
	return tidy(errorMessage(root), credential)
}

// ScannedVerdicts and its like read records in the two ways that there are, for comparison.
func ScannedVerdicts(b []byte) ([]VerdictRecord, bool) {
	found, ok := scanRecords(b, maxTags, verdictElement, (*verdictReader).set)
	return verdictRecords(found), ok
}

func TreeVerdicts(b []byte) ([]VerdictRecord, error) {
	found, err := treeRecords(b, maxTags, verdictElement, (*verdictReader).set)
	return verdictRecords(found), err
}

func ScannedReceipts(b []byte) ([]Submission, bool) {
	return scanRecords(b, maxTags, receiptElement, (*Submission).set)
}

func TreeReceipts(b []byte) ([]Submission, error) {
	return treeRecords(b, maxTags, receiptElement, (*Submission).set)
}
