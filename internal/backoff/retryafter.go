package backoff

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter returns the delay that a Retry-After header asks for, in seconds or as a date (RFC
// 9110, section 10.2.3). It returns at most limit, and 0 for an unreadable value or a date in the
// past.
func RetryAfter(value string, now time.Time, limit time.Duration) time.Duration {
	value = strings.TrimSpace(value)
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 64)
		if err != nil || seconds > uint64(limit/time.Second) {
			return limit
		}

		return time.Duration(seconds) * time.Second
	}

	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}

	return min(max(date.Sub(now), 0), limit)
}
