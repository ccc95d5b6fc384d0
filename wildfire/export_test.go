package wildfire

import (
	"time"

	"backburn/internal/backoff"
)

// Internal functions for fuzzing and benchmarks.
var (
	ParseVerdicts   = func(b []byte) ([]VerdictRecord, error) { return parseVerdicts(b, maxTags) }
	ParseReceipts   = parseReceipts
	ParseLinks      = parseLinks
	ParseURLReport  = parseURLReport
	ParseMAEC       = parseMAEC
	ParseRetryAfter = func(v string, now time.Time) time.Duration { return backoff.RetryAfter(v, now, MaxRetryAfter) }
	SanitizeMessage = sanitizeMessage
	Printable       = printable
)

// ErrorMessage returns the text that an error body adds to an APIError.
func ErrorMessage(body []byte, credential string) string {
	root, err := parseXML(body, maxTags)
	if err != nil {
		return ""
	}
	return sanitizeMessage(errorMessage(root), credential)
}
