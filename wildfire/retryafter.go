package wildfire

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// parseRetryAfter reads the header Retry-After (RFC 9110, section 10.2.3), which has a number of
// seconds or a date. It returns 0 for an unreadable value or a date in the past.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}

	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		wait = time.Duration(min(seconds, uint64(MaxRetryAfter/time.Second))) * time.Second
	} else if isDigits(value) {
		wait = MaxRetryAfter // too many digits
	} else if date, err := http.ParseTime(value); err == nil {
		wait = date.Sub(now)
	}

	return min(max(wait, 0), MaxRetryAfter)
}

func isDigits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}
