package poller

import (
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// reportList is the poller's index of the reports that are to be fetched or published: of what the
// ledger says, in memory. It is not safe for concurrent use.
type reportList struct {
	wants   func(key string, s pipeline.Sample) bool
	first   time.Duration         // from the verdict to the first try
	entries map[string]*reportDue // by sample key
	fetch   schedule[*reportDue]  // not asked for yet, or not found so far
	owed    schedule[*reportDue]  // known, and a source is still to be told
	why     string                // why none that is due is fetched; "" for no reason
}

// reportDue is one report.
type reportDue struct {
	slot // in reportList.owed or, otherwise, in reportList.fetch: the next try

	key   string
	since time.Time // by the server's clock: no job ended with the verdict before
	owed  bool      // it is in reportList.owed
}

// maxReports bounds what is remembered. Beyond it reports are not fetched.
const maxReports = 200_000

func newReportList(settings *pipeline.Settings) *reportList {
	return &reportList{
		wants:   func(key string, s pipeline.Sample) bool { return settings.Now().WantsReport(key, s) },
		first:   settings.Now().ReportSchedule().First,
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
		l.owe(key, time.Time{})
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

// status is what an operator sees of it.
func (l *reportList) status() *queue.ReportsStatus {
	s := &queue.ReportsStatus{Waiting: len(l.fetch)}
	for _, e := range l.fetch {
		if s.Oldest.IsZero() || e.since.Before(s.Oldest) {
			s.Oldest = e.since.UTC()
		}
	}
	if s.Waiting > 0 {
		s.Reason = l.why
	}

	return s
}

// put makes a report due at a time.
func (l *reportList) put(key string, at time.Time) {
	if e := l.entries[key]; e != nil && !e.owed { // else it was forgotten meanwhile
		l.fetch.set(e, at)
	}
}

// drop forgets a report.
func (l *reportList) drop(key string) {
	e := l.entries[key]
	switch {
	case e == nil:
		return
	case e.owed:
		l.owed.remove(e)
	default:
		l.fetch.remove(e)
	}
	delete(l.entries, key)
}

// owe has a source told of a report that is known, at a time.
func (l *reportList) owe(key string, at time.Time) {
	e := l.entries[key]
	if e == nil || e.owed {
		return
	}
	l.fetch.remove(e)
	e.owed = true
	l.owed.set(e, at)
}

// next is a report that is due now; "" for none, and how long until one is. One of which a source is
// to be told is taken out of the list, any other stays there.
func (l *reportList) next(now time.Time) (key string, owed bool, wait time.Duration) {
	wait = time.Hour
	if len(l.owed) > 0 {
		e := l.owed[0]
		if wait = e.due.sub(now); wait <= 0 {
			l.owed.remove(e)
			e.owed = false
			return e.key, true, 0
		}
	}
	if len(l.fetch) > 0 {
		e := l.fetch[0]
		if wait = min(wait, e.due.sub(now)); wait <= 0 {
			return e.key, false, 0
		}
	}

	return "", false, wait
}
