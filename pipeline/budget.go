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
