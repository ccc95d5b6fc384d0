package history

import (
	"maps"
	"math"
	"slices"
	"time"

	"backburn/results"
)

// Hours is how many hours are counted, including the current one.
const Hours = 24

// hours counts events by hour.
type hours struct {
	by     map[int64]*hour // hours since 1970
	newest int64
	spare  hour // collects counts for hours that are too old
}

type hour struct {
	verdicts map[string]int
	failed   map[string]int
	changed  int
	arrived  int
	took     spread
}

func newHour() *hour { return &hour{verdicts: map[string]int{}, failed: map[string]int{}} }

// at returns the hour of a time. Hours that are too old are forgotten, so there are never more than
// a few in addition to the counted ones.
func (h *hours) at(t time.Time) *hour {
	i := t.Unix() / 3600
	if i > h.newest {
		h.newest = i
		for old := range h.by {
			if old <= i-2*Hours {
				delete(h.by, old)
			}
		}
	}
	if i <= h.newest-2*Hours {
		h.spare = *newHour()
		return &h.spare
	}
	if h.by[i] == nil {
		h.by[i] = newHour()
	}

	return h.by[i]
}

// The outcomes that are counted separately. Others may write to the stream, so the list is closed.
var (
	verdictNames = []string{"benign", "malware", "grayware", "phishing", "c2", "unrecognised"}
	reasonNames  = func() (out []string) {
		for _, r := range results.Reasons() {
			out = append(out, string(r))
		}
		return out
	}()
)

func known(s string, list []string) string {
	if slices.Contains(list, s) {
		return s
	}

	return otherName
}

// spread counts durations in classes, each 5 % longer than the one before, so a percentile is off
// by at most 5 %.
type spread struct {
	counts map[int16]int
	n      int
}

const growth = 1.05

func (s *spread) add(d time.Duration) {
	if s.counts == nil {
		s.counts = map[int16]int{}
	}
	class := math.Log(max(d.Seconds(), 0.001)) / math.Log(growth)
	s.counts[int16(math.Round(min(class, 1000)))]++
	s.n++
}

func (s *spread) merge(o spread) {
	if s.counts == nil {
		s.counts = map[int16]int{}
	}
	for class, n := range o.counts {
		s.counts[class] += n
	}
	s.n += o.n
}

// at returns the duration, in seconds, that the given share of all does not exceed; 0 if there are
// none.
func (s *spread) at(share float64) float64 {
	want := int(math.Ceil(share * float64(s.n)))
	for _, class := range slices.Sorted(maps.Keys(s.counts)) {
		if want -= s.counts[class]; want <= 0 {
			return math.Pow(growth, float64(class))
		}
	}

	return 0
}
