package main

import (
	"testing"
	"time"

	"backburn/internal/testkit/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// A small day: the budgets are never exceeded and suffice for many files, urgent files use the
// reserve, and the remaining files are done automatically after the reset.
func TestADayWithinTheBudgets(t *testing.T) {
	t.Parallel()
	d := simulatedDay{
		Arrivals: 100,
		Uploads:  20,
		Queries:  240,
		Urgent:   2,
		Length:   12 * time.Second,
		Until:    1.9,
		Seed:     1,
	}
	r := d.run(t)
	t.Log(r)
	if r.Refused != 0 {
		t.Errorf("%d calls were refused: the fleet exceeded its budget", r.Refused)
	}
	if r.Spent[0].Uploads != d.Uploads || r.Spent[0].Queries > d.Queries {
		t.Errorf("%d uploads and %d queries on the first day, want all %d and at most %d", r.Spent[0].Uploads, r.Spent[0].Queries, d.Uploads, d.Queries)
	}
	if r.UrgentResolved != d.Urgent {
		t.Errorf("%d of %d urgent files were resolved the same day", r.UrgentResolved, d.Urgent)
	}
	if r.Pending == 0 || r.AfterReset != r.Pending {
		t.Errorf("%d files were left for the next days, of which %d are resolved", r.Pending, r.AfterReset)
	}
	if r.Failed != 0 || r.Resolved+r.Pending != d.Arrivals+d.Urgent {
		t.Errorf("%d resolved, %d pending and %d failed of %d", r.Resolved, r.Pending, r.Failed, d.Arrivals+d.Urgent)
	}
}
