package poller

import (
	"time"

	"backburn/pipeline"
)

// reportList is the poller's index of the reports that are to be fetched or published: of what the
// ledger says, in memory. It is not safe for concurrent use.
type reportList struct {
	wants   func(key string, s pipeline.Sample) bool
	first   time.Duration         // from the verdict to the first try
	entries map[string]*reportDue // by sample key
	fetch   schedule[*reportDue]  // not asked for yet, or not found so far
	owed    []string              // known, and a source is still to be told
}

// reportDue is one report.
type reportDue struct {
	slot // in reportList.fetch: the next try

	key   string
	since time.Time // by the server's clock: no job ended with the verdict before
	owed  bool
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
			e = &reportDue{slot: unscheduled, key: key, since: since}
			l.entries[key] = e
		}
		l.fetch.remove(e)
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

	l.entries[key] = &reportDue{slot: unscheduled, key: key, since: since}
	l.put(key, s.DecidedAt.Add(l.first)) // which is at once where nobody led, or could ask, meanwhile

	return true
}

// put makes a report due at a time.
func (l *reportList) put(key string, at time.Time) {
	if e := l.entries[key]; e != nil { // else it was forgotten meanwhile
		l.fetch.set(e, at)
	}
}

// drop forgets a report.
func (l *reportList) drop(key string) {
	if e := l.entries[key]; e != nil {
		l.fetch.remove(e)
		delete(l.entries, key)
	}
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

	return l.fetch[0].key, l.fetch[0].due.Sub(now)
}
