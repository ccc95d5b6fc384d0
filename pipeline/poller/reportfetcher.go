package poller

import (
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// reportFetcher fetches WildFire's reports while verdicts leave spare queries, and publishes them.
type reportFetcher struct {
	*shared
	querier    *querier
	reports    *reportList   // guarded by mu
	wakeReport chan struct{} // capacity 1: there is a report to fetch or to publish
}

// enabled reports whether reports are enabled.
func (f *reportFetcher) enabled() bool { return f.Reports != nil && f.config().Reporting() }

// updateReport adds a sample's record to the list.
func (f *reportFetcher) updateReport(r queue.SampleRecord, s pipeline.Sample) {
	if !f.enabled() {
		return
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	if f.reports.update(r.Key, s, r.Time) {
		signal(f.wakeReport)
	}
}

// nextReport returns the next report in the list.
func (f *reportFetcher) nextReport() (key string, owed bool, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.Metrics.ReportsWaiting.Set(float64(len(f.reports.fetch)))

	return f.reports.next(f.Now())
}

// reportLater makes a report due again: to be published if it is owed, or to be fetched.
func (f *reportFetcher) reportLater(key string, owed bool, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if owed {
		f.reports.owe(key, at)
	} else {
		f.reports.put(key, at)
	}
}

// forgetReport removes a report that needs nothing more.
func (f *reportFetcher) forgetReport(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports.drop(key)
}

// setHaltReason records why no report is fetched now, for operators.
func (f *reportFetcher) setHaltReason(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.reports.haltReason = ""
	if err != nil {
		f.reports.haltReason = err.Error()
	}
}

// hasUnfinishedJobs reports whether jobs still wait for a decided sample. They will end shortly.
func (f *reportFetcher) hasUnfinishedJobs(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	e := f.list.find(key)

	return e != nil && f.list.awaited(e)
}
