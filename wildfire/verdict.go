package wildfire

import (
	"strconv"
	"strings"
	"time"
)

// Verdict is the code of a WildFire verdict. Codes without a name here are possible, because
// WildFire may add some: 5 was added years after the others.
type Verdict int

// The verdicts (WildFire API Reference, "Get a Verdict").
const (
	Benign   Verdict = 0
	Malware  Verdict = 1
	Grayware Verdict = 2
	Phishing Verdict = 4
	C2       Verdict = 5 // command and control

	Pending       Verdict = -100 // the sample exists, but its analysis has not ended
	AnalysisError Verdict = -101
	Unknown       Verdict = -102 // WildFire does not know the sample, or does not know it yet shortly after a submission
	InvalidHash   Verdict = -103
	Flawed        Verdict = -104 // the submission was damaged: submit again; known only from other clients, not documented
)

var verdictNames = map[Verdict]string{
	Benign: "benign", Malware: "malware", Grayware: "grayware", Phishing: "phishing", C2: "c2",
	Pending: "pending", AnalysisError: "error", Unknown: "unknown", InvalidHash: "invalid_hash", Flawed: "flawed",
}

// String returns the name of the verdict, or "unrecognised" for a code without a name.
func (v Verdict) String() string {
	if name, ok := verdictNames[v]; ok {
		return name
	}
	return "unrecognised"
}

// ParseVerdict returns the verdict that has this name, or false if there is none.
func ParseVerdict(name string) (Verdict, bool) {
	for v, n := range verdictNames {
		if n == name {
			return v, true
		}
	}

	return 0, false
}

// Final reports whether the analysis has ended with a verdict. This is true for every code that is
// not negative, even without a name. WildFire may still change a final verdict later.
func (v Verdict) Final() bool { return v >= 0 }

// Malicious reports whether the verdict is malware, grayware, phishing or command and control. It
// is false for a code without a name.
func (v Verdict) Malicious() bool {
	switch v {
	case Malware, Grayware, Phishing, C2:
		return true
	}
	return false
}

// VerdictRecord is what WildFire answers about one sample or URL.
type VerdictRecord struct {
	SHA256, MD5 string // lower-case hexadecimal; either may be empty
	URL         string // set by URLVerdict

	// Verdict is valid only if HasVerdict is set. Otherwise it is 0, which would mean benign.
	Verdict    Verdict
	HasVerdict bool

	// AnalysisTime and Valid are set only by URLVerdict. Valid is the service's text, such as
	// "Yes"; its meaning is not documented.
	AnalysisTime time.Time
	Valid        string
}

// parseVerdicts reads get-verdict-info elements.
func parseVerdicts(body []byte, tags int) ([]VerdictRecord, error) {
	found, err := parseRecords(body, tags, verdictElement, (*verdictReader).set)
	var records []VerdictRecord
	for i := range found {
		records = append(records, found[i].VerdictRecord)
	}

	return records, err
}

const verdictElement = "get-verdict-info"

// verdictReader gathers the fields of a record.
type verdictReader struct {
	VerdictRecord
	seen bool // the record has a verdict, readable or not
}

func (r *verdictReader) set(field, text string) {
	switch field {
	case "sha256":
		setFirst(&r.SHA256, parseDigest(text, sha256Length))
	case "md5":
		setFirst(&r.MD5, parseDigest(text, md5Length))
	case "url":
		setFirst(&r.URL, text)
	case "valid":
		setFirst(&r.Valid, text)
	case "analysis_time":
		r.AnalysisTime = parseTime(text)
	case "verdict":
		code, err := strconv.ParseInt(text, 10, 32)
		// If two verdicts differ, neither is reliable.
		r.HasVerdict = err == nil && (!r.seen || r.HasVerdict && r.Verdict == Verdict(code))
		r.Verdict, r.seen = 0, true
		if r.HasVerdict {
			r.Verdict = Verdict(code)
		}
	}
}

// parseTime parses a time in UTC in one of WildFire's formats. It returns the zero time for any
// other text.
func parseTime(text string) time.Time {
	text = strings.TrimSpace(text)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
