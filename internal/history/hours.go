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
	byNumber  map[int64]*hour // hours since 1970
	newest    int64
	discarded hour // collects counts for hours that are too old
}

type hour struct {
	verdicts  map[string]int
	failed    map[string]int
	changed   int
	arrived   int
	durations durationHistogram
}

func newHour() *hour { return &hour{verdicts: map[string]int{}, failed: map[string]int{}} }

// at returns the hour of a time. Old hours are removed, so that at most 2*Hours are kept.
func (h *hours) at(t time.Time) *hour {
	i := t.Unix() / 3600
	if i > h.newest {
		h.newest = i
		for old := range h.byNumber {
			if old <= i-2*Hours {
				delete(h.byNumber, old)
			}
		}
	}
	if i <= h.newest-2*Hours {
		h.discarded = *newHour()
		return &h.discarded
	}
	if h.byNumber[i] == nil {
		h.byNumber[i] = newHour()
	}

	return h.byNumber[i]
}

// The outcomes that are counted separately. The lists are closed, because other programs may write
// to the stream.
var (
	verdictNames = []string{"benign", "malware", "grayware", "phishing", "c2", "unrecognised"}
	reasonNames  = func() (out []string) {
		for _, r := range results.Reasons() {
			out = append(out, string(r))
		}
		return out
	}()
)

func knownOrOther(s string, list []string) string {
	if slices.Contains(list, s) {
		return s
	}

	return otherName
}

// durationHistogram counts durations in classes, each 5 % longer than the one before, so a
// percentile is off by at most 5 %.
type durationHistogram struct {
	counts map[int16]int
	n      int
}

const classRatio = 1.05

func (s *durationHistogram) add(d time.Duration) {
	if s.counts == nil {
		s.counts = map[int16]int{}
	}
	class := math.Log(max(d.Seconds(), 0.001)) / math.Log(classRatio)
	s.counts[int16(math.Round(min(class, 1000)))]++
	s.n++
}

func (s *durationHistogram) merge(o durationHistogram) {
	if s.counts == nil {
		s.counts = map[int16]int{}
	}
	for class, n := range o.counts {
		s.counts[class] += n
	}
	s.n += o.n
}

// percentile returns the duration, in seconds, that the given share of all does not exceed; 0 if
// there are none.
func (s *durationHistogram) percentile(share float64) float64 {
	want := int(math.Ceil(share * float64(s.n)))
	for _, class := range slices.Sorted(maps.Keys(s.counts)) {
		if want -= s.counts[class]; want <= 0 {
			return math.Pow(classRatio, float64(class))
		}
	}

	return 0
}
