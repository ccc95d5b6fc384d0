package pipeline

import (
	"math/rand/v2"
	"time"
)

// Budget is one of WildFire's two daily allowances. Each is spent and paused independently.
type Budget string

// The budgets.
const (
	Uploads Budget = "uploads"
	Queries Budget = "queries"
)

// Budgets lists both budgets.
func Budgets() []Budget { return []Budget{Uploads, Queries} }

// Day names the day of the budgets to which t belongs. It begins at 00:00 UTC.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// ResetAfter returns when the budgets of t's day are renewed, plus a margin. The service's clock
// may differ from ours, and clients all over the world call at midnight.
func ResetAfter(t time.Time) time.Time {
	y, m, d := t.UTC().Date()

	return time.Date(y, m, d+1, 0, 1, 0, 0, time.UTC).Add(rand.N(30 * time.Second))
}

// Backoff starts at low and doubles with each attempt, up to high. Its upper half is random.
func Backoff(attempt int, low, high time.Duration) time.Duration {
	return backoff(attempt, low, high, rand.Float64())
}

// backoff is Backoff with a random number from 0 to 1.
func backoff(attempt int, low, high time.Duration, random float64) time.Duration {
	d := high
	if attempt < 30 && low<<attempt < high {
		d = low << attempt
	}

	return d/2 + time.Duration(random*float64(d-d/2))
}
