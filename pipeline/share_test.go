package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"backburn/pipeline"
)

func TestAllowance(t *testing.T) {
	t.Parallel()
	of := func(pairs ...any) map[string]int {
		m := map[string]int{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1].(int)
		}
		return m
	}
	for name, tc := range map[string]struct {
		s    pipeline.Spending
		want int // of source "a", for a normal job
	}{
		"alone":                          {pipeline.Spending{}, 90},
		"alone, later":                   {pipeline.Spending{Used: 50, UsedBy: of("a", 50)}, 40},
		"alone, all is used":             {pipeline.Spending{Used: 90, UsedBy: of("a", 90)}, 0},
		"used beyond the limit":          {pipeline.Spending{Used: 120, UsedBy: of("a", 120)}, 0},
		"another asks":                   {pipeline.Spending{Asking: of("a", 1, "b", 1)}, 45},
		"another asks, share used":       {pipeline.Spending{Used: 45, UsedBy: of("a", 45), Asking: of("a", 1, "b", 1)}, 0},
		"both have used some":            {pipeline.Spending{Used: 30, UsedBy: of("a", 20, "b", 10), Asking: of("a", 1, "b", 1)}, 25},
		"the other had its share":        {pipeline.Spending{Used: 50, UsedBy: of("a", 5, "b", 45), Asking: of("a", 1, "b", 1)}, 40},
		"the other asks no more":         {pipeline.Spending{Used: 50, UsedBy: of("a", 45, "b", 5)}, 40},
		"spent before the other came":    {pipeline.Spending{Used: 80, UsedBy: of("a", 80), Asking: of("b", 1)}, 0},
		"a newcomer gets what is left":   {pipeline.Spending{Used: 80, UsedBy: of("b", 80), Asking: of("a", 1, "b", 1)}, 10},
		"expected in the morning":        {pipeline.Spending{Used: 45, UsedBy: of("a", 45), Yesterday: of("b", 20), DayLeft: 1}, 25},
		"expected at noon":               {pipeline.Spending{Used: 45, UsedBy: of("a", 45), Yesterday: of("b", 20), DayLeft: .5}, 35},
		"expected at midnight":           {pipeline.Spending{Used: 45, UsedBy: of("a", 45), Yesterday: of("b", 20)}, 45},
		"expected beyond its share":      {pipeline.Spending{Used: 45, UsedBy: of("a", 45), Yesterday: of("b", 500), DayLeft: 1}, 0},
		"expected, and came":             {pipeline.Spending{Used: 65, UsedBy: of("a", 45, "b", 20), Yesterday: of("b", 20), DayLeft: 1}, 25},
		"more sources than budget":       {pipeline.Spending{Asking: manySources(200)}, 1},
		"more sources than budget, used": {pipeline.Spending{Used: 1, UsedBy: of("a", 1), Asking: manySources(200)}, 0},
	} {
		tc.s.Limit = 100
		tc.s.Reserve = 10
		if got := tc.s.Allowance("a", pipeline.Normal); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}

	// The reserve is shared in the same way.
	s := pipeline.Spending{
		Limit:   100,
		Reserve: 10,
		Used:    90,
		UsedBy:  of("a", 50, "b", 40),
		Asking:  of("a", 1, "b", 1),
	}
	if a, b := s.Allowance("a", pipeline.Urgent), s.Allowance("b", pipeline.Urgent); a != 0 || b != 10 {
		t.Errorf("of the reserve: %d and %d, want 0 and 10", a, b)
	}
	// A call that serves all sources has no share of its own.
	if got := s.Allowance("", pipeline.Urgent); got != 10 {
		t.Errorf("a call for all: %d, want 10", got)
	}
}

func manySources(n int) map[string]int {
	m := map[string]int{}
	for i := range n {
		m[fmt.Sprint("source-", i)] = 1
	}
	return m
}

// In whatever order sources ask, the budget is used up and never exceeded. Sources that want more
// than their share end with the same amount.
func TestAllowanceUsesTheBudgetUp(t *testing.T) {
	t.Parallel()
	for _, demand := range []map[string]int{
		{"a": 1000}, {"a": 1000, "b": 1000}, {"a": 1000, "b": 3}, {"a": 3, "b": 1000, "c": 40}, {"a": 10, "b": 10, "c": 10},
	} {
		s := pipeline.Spending{Limit: 100, Reserve: 10, UsedBy: map[string]int{}, Asking: map[string]int{}}
		left := map[string]int{}
		total := 0
		for source, n := range demand {
			s.Asking[source] = 1
			left[source] = n
			total += n
		}
		for progress := true; progress; {
			progress = false
			for source := range demand {
				if left[source] == 0 {
					delete(s.Asking, source)
					continue
				}
				if s.Allowance(source, pipeline.Bulk) > 0 {
					s.Used++
					s.UsedBy[source]++
					left[source]--
					progress = true
				}
			}
		}
		if want := min(total, 90); s.Used != want {
			t.Errorf("%v: %d used, want %d (%v)", demand, s.Used, want, s.UsedBy)
		}
		if demand["a"] == demand["b"] && s.UsedBy["a"] != s.UsedBy["b"] {
			t.Errorf("%v: %v, want the same for both", demand, s.UsedBy)
		}
	}
}

func TestLeftOfDay(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	for h, want := range map[int]float64{0: 1, 6: .75, 12: .5, 18: .25} {
		if got := pipeline.LeftOfDay(day.Add(time.Duration(h) * time.Hour).In(time.FixedZone("", 7200))); got != want {
			t.Errorf("at %d:00 UTC: %v, want %v", h, got, want)
		}
	}
}

func TestEqualShare(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		has  map[string]int64
		want int64
	}{
		"nobody":           {nil, 100},
		"little":           {map[string]int64{"a": 10, "b": 20}, 20},
		"one has too much": {map[string]int64{"a": 500}, 100},
		"beside another":   {map[string]int64{"a": 500, "b": 10}, 90},
		"two have":         {map[string]int64{"a": 500, "b": 300, "c": 10}, 45},
		"all have":         {map[string]int64{"a": 50, "b": 50, "c": 50, "d": 50}, 25},
	} {
		if got := pipeline.EqualShare(tc.has, 100); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
