package history

import (
	"maps"
	"math"
	"slices"
	"time"

	"backburn/results"
)

// Hours is how many hours are counted, the one that is under way included.
const Hours = 24

// hours counts what happened, by hour.
type hours struct {
	by     map[int64]*hour // hours since 1970
	newest int64
	spare  hour // takes what is older than what is counted
}

type hour struct {
	verdicts map[string]int
	failed   map[string]int
	changed  int
	arrived  int
	took     spread
}

func newHour() *hour { return &hour{verdicts: map[string]int{}, failed: map[string]int{}} }

// at is the hour of a time. Hours that are too old are forgotten, so there are never more than a
// few beside those that are counted.
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

// The outcomes that are told apart; events come from a stream that others may write to.
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

// spread counts lengths of time in classes, each a twentieth longer than the one before: a
// percentile is off by 5 % at most.
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

// at is the length, in seconds, that a share of all does not exceed; 0 for none.
func (s *spread) at(share float64) float64 {
	want := int(math.Ceil(share * float64(s.n)))
	for _, class := range slices.Sorted(maps.Keys(s.counts)) {
		if want -= s.counts[class]; want <= 0 {
			return math.Pow(growth, float64(class))
		}
	}

	return 0
}
