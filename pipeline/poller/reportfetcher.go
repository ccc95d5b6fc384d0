package poller

import (
	"sync"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// reportFetcher fetches and publishes WildFire's reports, with queries that verdicts do not need.
type reportFetcher struct {
	*shared
	querier    *querier
	wakeReport chan struct{} // wakes reportLoop: the list changed; capacity 1

	reportsMu sync.Mutex
	reports   *reportList // guarded by reportsMu
}

// enabled reports whether reports are fetched at all.
func (f *reportFetcher) enabled() bool { return f.Reports != nil && f.config().Reporting() }

// updateReport updates the list after a new record of a sample.
func (f *reportFetcher) updateReport(r queue.EncodedSample, s pipeline.Sample) {
	if !f.enabled() {
		return
	}

	f.reportsMu.Lock()
	defer f.reportsMu.Unlock()

	if f.reports.update(r.Key, s, r.Time) {
		signal(f.wakeReport)
	}
}

// nextReport returns a report that is due, as reportList.next does.
func (f *reportFetcher) nextReport() (key string, owed bool, wait time.Duration) {
	f.reportsMu.Lock()
	defer f.reportsMu.Unlock()

	f.Metrics.ReportsWaiting.Set(float64(len(f.reports.toFetch)))

	return f.reports.next(f.Now())
}

// reportLater schedules another attempt to publish an owed report, or to fetch any other.
func (f *reportFetcher) reportLater(key string, owed bool, at time.Time) {
	f.reportsMu.Lock()
	defer f.reportsMu.Unlock()

	if owed {
		f.reports.owe(key, at)
	} else {
		f.reports.put(key, at)
	}
}

// forgetReport removes a report from the list, because nothing more is to be done.
func (f *reportFetcher) forgetReport(key string) {
	f.reportsMu.Lock()
	defer f.reportsMu.Unlock()
	f.reports.drop(key)
}

// status returns the state of the list for operators.
func (f *reportFetcher) status() *queue.ReportsStatus {
	f.reportsMu.Lock()
	defer f.reportsMu.Unlock()

	return f.reports.status()
}

// shift moves all times by the given duration, after the clock was set back.
func (f *reportFetcher) shift(by time.Duration) {
	f.reportsMu.Lock()
	defer f.reportsMu.Unlock()

	f.reports.shift(by)
}

// setHaltReason stores the reason why no report is fetched now, for operators. A nil err removes
// the reason.
func (f *reportFetcher) setHaltReason(err error) {
	f.reportsMu.Lock()
	defer f.reportsMu.Unlock()

	f.reports.haltReason = ""
	if err != nil {
		f.reports.haltReason = err.Error()
	}
}

// hasUnfinishedJobs reports whether jobs still wait for a sample that has a verdict. They will end
// shortly.
func (f *reportFetcher) hasUnfinishedJobs(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	e := f.list.find(key)

	return e != nil && f.list.awaited(e)
}
