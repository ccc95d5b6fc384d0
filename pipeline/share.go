package pipeline

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Spending says how much of a day's budget each source used, and which sources want more.
type Spending struct {
	Limit     int            // budget of the day
	Reserve   int            // of Limit, kept for urgent jobs
	Used      int            // by all sources
	UsedBy    map[string]int // of Used, by source
	Asking    map[string]int // its keys are the sources that want more now or did recently; the values do not matter
	Yesterday map[string]int // what each source used the day before
	DayLeft   float64        // fraction of the day that is left, from 1 to 0
}

// Allowance returns how much of a day's budget a source may still use for jobs of a priority.
// Sources that ask have equal shares, and what one source does not need is available to others. For
// a source that has not asked recently, as much as it used yesterday is reserved, up to its share;
// the reservation shrinks as the day goes on. So part of the budget is left for a source that used
// it yesterday and asks later today, and at the end of the day nothing stays reserved.
func (s Spending) Allowance(source string, p Priority) int {
	left := s.Limit - s.Used
	total := s.Limit
	if p != Urgent {
		left -= s.Reserve
		total -= s.Reserve
	}
	if left <= 0 || source == "" {
		return max(left, 0)
	}

	share := s.share(total, source)
	if s.UsedBy[source] < share {
		return min(left, share-s.UsedBy[source])
	}

	for other := range s.known() {
		if other == source {
			continue
		}
		owed := share - s.UsedBy[other]
		if _, asks := s.Asking[other]; !asks {
			owed = int(float64(min(s.Yesterday[other], share)-s.UsedBy[other]) * s.DayLeft)
		}
		left -= max(owed, 0)
	}

	return max(left, 0)
}

// Spare returns how much of a day's budget will probably not be needed: what is left, less the
// reserve, and less three quarters of what the rest of the day would use at an even pace.
func (s Spending) Spare() int {
	needed := int(math.Ceil(float64(s.Limit) * s.DayLeft * 3 / 4))

	return max(s.Limit-s.Reserve-s.Used-needed, 0)
}

// share divides total equally among the given source, the sources that ask now, and those that used
// the budget today or yesterday and so may ask again.
func (s Spending) share(total int, source string) int {
	n := 0
	known := s.known()
	known[source] = true
	for other := range known {
		_, asks := s.Asking[other]
		if asks || other == source || s.Yesterday[other] > 0 || s.UsedBy[other] > 0 {
			n++
		}
	}

	return max(total/n, 1)
}

// known returns all sources in the spending.
func (s Spending) known() map[string]bool {
	known := map[string]bool{}
	for _, m := range []map[string]int{s.UsedBy, s.Asking, s.Yesterday} {
		for source := range m {
			known[source] = true
		}
	}

	return known
}

// LeftOfDay returns the fraction of the budgets' day that is left at t, from 1 to 0.
func LeftOfDay(t time.Time) float64 {
	t = t.UTC()

	return 1 - float64(t.Sub(t.Truncate(24*time.Hour)))/float64(24*time.Hour)
}

// EqualShare returns the most that each source may keep, so that all of them together keep at most
// total. A source that has less keeps all of it.
func EqualShare(has map[string]int64, total int64) int64 {
	sizes := slices.Sorted(maps.Values(has))
	for i, size := range sizes {
		share := total / int64(len(sizes)-i)
		if size > share {
			return share
		}
		total -= size
	}
	if len(sizes) == 0 {
		return total
	}

	return sizes[len(sizes)-1]
}
