package poller

import (
	"container/heap"
	"time"

	"backburn/pipeline"
)

// reportList is the poller's index of the reports that are to be fetched or published: of what the
// ledger says, in memory. It is not safe for concurrent use.
type reportList struct {
	wants   func(key string, s pipeline.Sample) bool
	first   time.Duration         // from the verdict to the first try
	entries map[string]*reportDue // by sample key
	fetch   reportHeap            // not asked for yet, or not found so far
	owed    []string              // known, and a source is still to be told
}

// reportDue is one report.
type reportDue struct {
	key   string
	at    time.Time // of the next try
	since time.Time // by the server's clock: no job ended with the verdict before
	owed  bool
	pos   int // in the heap; -1: not in it
}

// maxReports bounds what is remembered. Beyond it reports are not fetched.
const maxReports = 200_000

func newReportList(cfg pipeline.Config) *reportList {
	return &reportList{
		wants:   cfg.WantsReport,
		first:   cfg.ReportSchedule().First,
		entries: map[string]*reportDue{},
	}
}

// note takes up what the ledger says of a sample since a time. It reports whether there is something new to
// do.
func (l *reportList) note(key string, s pipeline.Sample, since time.Time) bool {
	e := l.entries[key]
	switch {
	case s.Report != nil && len(s.Report.Owed) > 0:
		if e == nil {
			e = &reportDue{key: key, since: since, pos: -1}
			l.entries[key] = e
		}
		if e.pos >= 0 {
			heap.Remove(&l.fetch, e.pos)
		}
		if !e.owed {
			e.owed = true
			l.owed = append(l.owed, key)
		}
		return true

	case s.Report != nil || !l.wants(key, s):
		l.drop(key)
		return false

	case e != nil || len(l.entries) >= maxReports:
		return false
	}

	l.entries[key] = &reportDue{key: key, since: since, pos: -1}
	l.put(key, s.DecidedAt.Add(l.first)) // which is at once where nobody led, or could ask, meanwhile

	return true
}

// put makes a report due at a time.
func (l *reportList) put(key string, at time.Time) {
	e := l.entries[key]
	if e == nil {
		return // forgotten meanwhile
	}
	e.at = at
	if e.pos >= 0 {
		heap.Fix(&l.fetch, e.pos)
		return
	}
	heap.Push(&l.fetch, e)
}

// drop forgets a report.
func (l *reportList) drop(key string) {
	e := l.entries[key]
	if e == nil {
		return
	}
	if e.pos >= 0 {
		heap.Remove(&l.fetch, e.pos)
	}
	delete(l.entries, key)
}

// oweAgain puts back what nextOwed took.
func (l *reportList) oweAgain(key string) {
	if e := l.entries[key]; e != nil && !e.owed {
		e.owed = true
		l.owed = append(l.owed, key)
	}
}

// nextOwed takes a report of which a source is to be told; "" for none.
func (l *reportList) nextOwed() string {
	for len(l.owed) > 0 {
		key := l.owed[0]
		l.owed = l.owed[1:]
		if e := l.entries[key]; e != nil && e.owed {
			e.owed = false
			return key
		}
	}

	return ""
}

// next is the report that is due first, and how long until then; "" for none. It stays in the list.
func (l *reportList) next(now time.Time) (string, time.Duration) {
	if len(l.fetch) == 0 {
		return "", time.Hour
	}

	return l.fetch[0].key, l.fetch[0].at.Sub(now)
}

// reportHeap orders reports by the time they are due.
type reportHeap []*reportDue

func (h reportHeap) Len() int           { return len(h) }
func (h reportHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h reportHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos = i
	h[j].pos = j
}

func (h *reportHeap) Push(x any) {
	e := x.(*reportDue)
	e.pos = len(*h)
	*h = append(*h, e)
}

func (h *reportHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.pos = -1
	return e
}
