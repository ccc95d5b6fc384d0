package pipeline

import (
	"math/rand/v2"
	"time"
)

// Budget is one of WildFire's two daily budgets. Each is used up and paused independently. Package
// fleet also counts the uploads of a rule that has its own budget; it then uses RuleBudget.Key,
// converted to a Budget, as the name of that budget.
type Budget string

// The budgets.
const (
	Uploads Budget = "uploads"
	Queries Budget = "queries"
)

// Budgets lists both budgets.
func Budgets() []Budget { return []Budget{Uploads, Queries} }

// Day returns the date, in UTC, of the day whose budgets apply at t.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// ResetAfter returns the time after t at which the budgets are expected to be renewed: the next
// 00:00 UTC, plus a minute because WildFire's clock may differ from ours, plus up to 30 seconds,
// random, because clients all over the world call at midnight.
func ResetAfter(t time.Time) time.Time {
	y, m, d := t.UTC().Date()

	return time.Date(y, m, d+1, 0, 1, 0, 0, time.UTC).Add(rand.N(30 * time.Second))
}
