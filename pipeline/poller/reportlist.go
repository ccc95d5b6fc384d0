package poller

import (
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// reportList is the poller's index, in memory, of the reports that have to be fetched or published
// according to the ledger. It is not safe for concurrent use.
type reportList struct {
	wants      func(key string, s pipeline.Sample) bool
	first      time.Duration           // from the verdict to the first attempt
	entries    map[string]*reportEntry // by sample key
	toFetch    schedule[*reportEntry]  // reports to fetch: not requested yet, or not received so far
	owed       schedule[*reportEntry]  // published or missing reports, still owed to a source
	haltReason string                  // why no report can be fetched now, or ""
}

// reportEntry is a report in the list.
type reportEntry struct {
	scheduleEntry // in reportList.owed or reportList.toFetch: time of the next attempt

	key   string
	since time.Time // when the record that added the entry was written, by the server's clock
	owed  bool      // the entry is in reportList.owed, not in reportList.toFetch
}

// maxReports is the length of the list at which no further report to fetch is added.
const maxReports = 200_000

func newReportList(settings *pipeline.Settings) *reportList {
	return &reportList{
		wants:   func(key string, s pipeline.Sample) bool { return settings.Current().WantsReport(key, s) },
		first:   settings.Current().ReportSchedule().First,
		entries: map[string]*reportEntry{},
	}
}

// update updates the list after a new record of a sample. The parameter since is when the record
// was written. update reports whether there is something new to do.
func (l *reportList) update(key string, s pipeline.Sample, since time.Time) bool {
	e := l.entries[key]
	switch {
	case s.Report != nil && len(s.Report.Owed) > 0:
		if e == nil {
			e = &reportEntry{scheduleEntry: unscheduled, key: key, since: since}
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

	l.entries[key] = &reportEntry{scheduleEntry: unscheduled, key: key, since: since}
	l.put(key, s.DecidedAt.Add(l.first)) // this may be in the past, if there was no leader for a while

	return true
}

// shift moves all times by the given duration, after the clock was set back.
func (l *reportList) shift(by time.Duration) {
	l.toFetch.shift(by)
	l.owed.shift(by)
}

// status returns the state of the list for operators.
func (l *reportList) status() *queue.ReportsStatus {
	s := &queue.ReportsStatus{Waiting: len(l.toFetch)}
	for _, e := range l.toFetch {
		if s.Oldest.IsZero() || e.since.Before(s.Oldest) {
			s.Oldest = e.since.UTC()
		}
	}
	if s.Waiting > 0 {
		s.Reason = l.haltReason
	}

	return s
}

// put schedules the next attempt to fetch a report.
func (l *reportList) put(key string, at time.Time) {
	if e := l.entries[key]; e != nil && !e.owed { // otherwise it was dropped or became owed meanwhile
		l.toFetch.set(e, at)
	}
}

// drop removes a report from the list.
func (l *reportList) drop(key string) {
	e := l.entries[key]
	switch {
	case e == nil:
		return
	case e.owed:
		l.owed.remove(e)
	default:
		l.toFetch.remove(e)
	}
	delete(l.entries, key)
}

// owe schedules the next attempt to publish a report for a further source.
func (l *reportList) owe(key string, at time.Time) {
	e := l.entries[key]
	if e == nil || e.owed {
		return
	}
	l.toFetch.remove(e)
	e.owed = true
	l.owed.set(e, at)
}

// next returns a report that is due now, or "" and the time until one is due. An owed report is
// removed from reportList.owed; a report to fetch stays in reportList.toFetch.
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
	if len(l.toFetch) > 0 {
		e := l.toFetch[0]
		if wait = min(wait, e.due.sub(now)); wait <= 0 {
			return e.key, false, 0
		}
	}

	return "", false, wait
}
