package poller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

const (
	// A new leader ignores reports of samples that were decided longer ago than this.
	reportMaxAge = 7 * 24 * time.Hour

	// How long a report event waits for the final event of the source's job.
	finalEventWait = 10 * time.Minute

	// How soon to check again for spare budget.
	spareTicks = 15

	// The largest document in addition to the report that is kept, in bytes.
	maxDocument = 32 << 20

	// The account in the query budget for documents.
	reportsAccount = "reports"
)

// Why a report waits.
var (
	errVerdictsFirst  = errors.New("queries for verdicts come first")
	errNoSpareQueries = errors.New("no spare queries for reports")
)

// reportFetcher fetches WildFire's reports while verdicts leave spare queries, and publishes them.
type reportFetcher struct {
	*shared
	querier    *querier
	reports    *reportList   // guarded by mu
	wakeReport chan struct{} // capacity 1: there is a report to fetch or to publish
}

// reportLoop fetches due reports, one at a time, whenever verdicts leave spare queries. A report is
// due if the ledger has a sample with a verdict whose report is wanted and no note about it. Each
// document is stored before the event is published, and the note is written last, so that if the
// leader dies the next one does the rest.
func (f *reportFetcher) reportLoop(ctx context.Context) error {
	if !f.reporting() {
		<-ctx.Done()
		return ctx.Err()
	}

	for failures := 0; ; {
		key, owed, wait := f.nextReport()
		if key == "" {
			if err := f.awaitSignal(ctx, f.wakeReport, wait); err != nil {
				return err
			}
			continue
		}

		do := f.report
		if owed {
			do = f.publishOwed
		}
		err := do(ctx, key)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.setHaltReason(err)

		switch {
		case err == nil:
			failures = 0
			continue
		case errors.Is(err, errVerdictsFirst):
			wait = f.Tick
		case errors.Is(err, errNoSpareQueries):
			wait = spareTicks * f.Tick
		default:
			f.Log.Warn().Err(err).Str("sha256", key).Msg("cannot fetch or publish a report; retrying")
			wait = f.config().Backoff(failures)
			failures++
			f.reportLater(key, owed, f.Now().Add(wait))
		}
		if err := f.awaitSignal(ctx, f.wakeReport, wait); err != nil {
			return err
		}
	}
}

// nextReport returns the next report in the list.
func (f *reportFetcher) nextReport() (key string, owed bool, wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Metrics.ReportsWaiting.Set(float64(len(f.reports.fetch)))

	return f.reports.next(f.Now())
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

// reporting reports whether reports are enabled.
func (f *reportFetcher) reporting() bool { return f.Reports != nil && f.config().Reporting() }

// noteReport adds a sample's record to the list.
func (f *reportFetcher) noteReport(r queue.SampleRecord, s pipeline.Sample) {
	if !f.reporting() {
		return
	}

	f.mu.Lock()
	defer f.mu.Unlock()

	if f.reports.note(r.Key, s, r.Time) {
		signal(f.wakeReport)
	}
}

// report handles one due report, and then schedules it again or forgets it.
func (f *reportFetcher) report(ctx context.Context, key string) error {
	s, err := f.Queue.Ledger().Sample(ctx, key)
	if err != nil {
		return err
	}
	if s.Report != nil || !f.config().WantsReport(key, s.Sample) {
		f.forgetReport(key)
		return nil
	}
	if f.hasUnfinishedJobs(key) {
		f.reportLater(key, false, f.Now().Add(f.config().FirstPoll))
		return nil
	}

	reports, err := f.Queue.Streams().Reports(ctx)
	if err != nil {
		return err
	}
	body, at, err := f.loadOrFetchReport(ctx, reports, key)
	switch {
	case err == nil:
		found, err := available(ctx, reports, key, body)
		if err != nil {
			return err
		}
		return f.publishReport(ctx, s, found, at)
	case errors.Is(err, wildfire.ErrNotReady) && f.Now().Before(f.config().ReportDeadline(s.Sample)):
		f.reportLater(key, false, f.config().ReportSchedule().Next(s.DecidedAt, f.Now()))
		return nil
	case noReport(err):
		return f.publishReport(ctx, s, pipeline.MissingReport(), f.Now())
	}

	return err
}

// noReport reports whether an error says that there is no report and never will be.
func noReport(err error) bool {
	return errors.Is(err, wildfire.ErrNotReady) ||
		errors.Is(err, wildfire.ErrGone) ||
		errors.Is(err, wildfire.ErrSampleForbidden) ||
		errors.Is(err, wildfire.ErrInvalidArgument)
}

// hasUnfinishedJobs reports whether jobs still wait for a decided sample. They will end shortly.
func (f *reportFetcher) hasUnfinishedJobs(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.list.find(key)

	return e != nil && e.jobs.len() > 0
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

func (f *reportFetcher) forgetReport(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports.drop(key)
}

// loadOrFetchReport returns the report about a sample, and when it was stored.
func (f *reportFetcher) loadOrFetchReport(ctx context.Context, reports *queue.Reports, key string) ([]byte, time.Time, error) {
	body, at, err := reports.Read(ctx, key, pipeline.ReportXML)
	if !isNotStored(err) {
		return body, at, err
	}

	if err := f.checkSpareQueries(ctx, len(f.config().ReportDocuments())); err != nil {
		return nil, time.Time{}, err
	}
	body, err = f.document(ctx, func(io.Writer) ([]byte, error) { return f.Reports.ReportXML(ctx, key) })
	if err != nil {
		return nil, time.Time{}, err
	}
	f.storeOtherDocuments(ctx, reports, key)

	// The report is stored last: once it is stored, nothing more is requested.
	if err := reports.Put(ctx, key, pipeline.ReportXML, body); err != nil {
		return nil, time.Time{}, err
	}

	return body, f.Now(), nil
}

// isNotStored reports whether an error says that a document is missing or incomplete.
func isNotStored(err error) bool {
	return errors.Is(err, pipeline.ErrContentMissing) || errors.Is(err, pipeline.ErrUnreadable)
}

// storeOtherDocuments fetches and stores the other wanted documents. They may not exist, and a
// report without them is better than none.
func (f *reportFetcher) storeOtherDocuments(ctx context.Context, reports *queue.Reports, key string) {
	for _, document := range f.config().ReportDocuments()[1:] {
		if _, err := reports.Find(ctx, key, document); err == nil {
			continue // stored by a leader that died
		}

		body, err := f.document(ctx, func(w io.Writer) ([]byte, error) {
			var err error
			if document == pipeline.ReportPDF {
				_, err = f.Reports.ReportPDF(ctx, key, w)
			} else {
				_, err = f.Reports.PCAP(ctx, key, 0, w)
			}
			return nil, err
		})
		if err == nil {
			err = reports.Put(ctx, key, document, body)
		}
		if err != nil && !errors.Is(err, wildfire.ErrNotReady) && ctx.Err() == nil {
			f.Log.Warn().Err(err).Str("sha256", key).Str("document", document).Msg("cannot keep a document beside the report")
		}
	}
}

// checkSpareQueries returns an error unless verdicts leave at least n spare queries and no question
// is waiting.
func (f *reportFetcher) checkSpareQueries(ctx context.Context, n int) error {
	if f.querier.hasQuestions(false) || !f.Member.StillMember() {
		return errVerdictsFirst
	}
	if _, paused, _ := f.Pauses.Active(pipeline.Queries); paused {
		return errNoSpareQueries
	}

	spare, err := f.Queries.Spare(ctx)
	if err != nil {
		return err
	}
	if spare < n {
		return errNoSpareQueries
	}

	return nil
}

// document spends one query and calls fetch. It returns what fetch writes, or fetch's error.
func (f *reportFetcher) document(ctx context.Context, fetch func(io.Writer) ([]byte, error)) ([]byte, error) {
	if err := f.Queries.Take(ctx, reportsAccount, pipeline.Normal); err != nil {
		if errors.Is(err, fleet.ErrSpent) {
			return nil, errNoSpareQueries
		}
		return nil, err
	}

	var written limitedBuffer
	body, err := fetch(&written)
	if err == nil {
		f.Pauses.EndAfterSuccess(ctx, pipeline.Queries)
		if body == nil {
			body = written.Bytes()
		}
		return body, nil
	}
	if noReport(err) {
		return nil, err
	}

	switch pipeline.Classify(pipeline.OpQuery, err).Action {
	case pipeline.ParkBudget, pipeline.PauseFleet, pipeline.Defer:
		f.querier.afterQueryError(ctx, err)
		return nil, errNoSpareQueries
	}
	f.Metrics.Failed.Inc()

	return nil, err
}

// limitedBuffer holds at most the size limit of a document.
type limitedBuffer struct{ bytes.Buffer }

var errDocumentTooLarge = fmt.Errorf("larger than %d bytes", maxDocument)

func (b *limitedBuffer) Write(data []byte) (int, error) {
	if b.Len()+len(data) > maxDocument {
		return 0, errDocumentTooLarge
	}

	return b.Buffer.Write(data)
}

// available reads a stored report.
func available(ctx context.Context, reports *queue.Reports, key string, body []byte) (results.Report, error) {
	report, err := wildfire.ParseReport(bytes.NewReader(body))
	if err != nil {
		return results.Report{}, err // it was parsed when it was fetched
	}

	kept := []string{pipeline.ReportXML}
	for _, document := range []string{pipeline.ReportPDF, pipeline.ReportPCAP} {
		if _, err := reports.Find(ctx, key, document); err == nil {
			kept = append(kept, document)
		}
	}

	return pipeline.AvailableReport(report, kept), nil
}

// publishReport publishes the report event, once for each source with a job that ended with the
// sample's verdict, and records that in the ledger.
func (f *reportFetcher) publishReport(ctx context.Context, s queue.SampleEntry, report results.Report, at time.Time) error {
	finals, err := f.finals(ctx, s, time.Minute, nil)
	if err != nil {
		return err
	}
	maps.DeleteFunc(finals, func(source string, _ results.Event) bool { return !f.config().WantsReportFor(source, s.Sample) })
	told := slices.Sorted(maps.Keys(finals))
	for _, source := range told {
		if err := f.Queue.Events().PublishReport(ctx, finals[source], report, at); err != nil {
			return err
		}
	}

	_, err = f.Queue.Ledger().ChangeSample(ctx, s.Key, func(sample *pipeline.Sample) bool {
		if sample.State != pipeline.StateVerdict || sample.Report != nil {
			return false
		}
		sample.Reported(report.Status, told, f.Now())
		return true
	})
	if err != nil {
		return err
	}

	f.forgetReport(s.Key)
	if report.Status == results.ReportMissing {
		f.Metrics.ReportsMissing.Inc()
	} else {
		f.Metrics.ReportsFetched.Inc()
	}
	f.Log.Info().Str("sha256", s.Key).Str("status", string(report.Status)).Strs("sources", told).Msg("report published")

	return nil
}

// finals returns, for each source, the first final event with the sample's verdict. It searches
// from shortly before the time of the sample's record.
func (f *reportFetcher) finals(ctx context.Context, s queue.SampleEntry, before time.Duration, sources []string) (map[string]results.Event, error) {
	f.mu.Lock()
	e := f.reports.entries[s.Key]
	f.mu.Unlock()
	if e == nil {
		return nil, nil
	}

	sub := results.NewSubscriber(f.Queue.JetStream(), results.SubscriberConfig{
		Prefix: f.Queue.Prefix(),
		Since:  e.since.Add(-before),
		Filter: results.Filter{
			Types:    []results.Type{results.Verdict, results.Changed},
			Outcomes: []string{wildfire.Verdict(s.Verdict).String()},
			Sources:  sources,
		},
	})

	first := map[string]results.Event{}
	err := sub.Drain(ctx, func(_ context.Context, e results.Event) error {
		if _, known := first[e.Data.Source]; !known && e.Data.SHA256 == s.Key {
			first[e.Data.Source] = e
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the jobs for the report on %s: %w", s.Key, err)
	}

	return first, nil
}

// publishOwed publishes an available report for the sources whose first job with the contents ended
// later.
func (f *reportFetcher) publishOwed(ctx context.Context, key string) error {
	s, err := f.Queue.Ledger().Sample(ctx, key)
	if err != nil {
		return err
	}
	if s.Report == nil || len(s.Report.Owed) == 0 {
		f.forgetReport(key)
		return nil
	}

	report, err := f.loadPublishedReport(ctx, s)
	if err != nil {
		return err
	}
	var told []string
	waits := false
	for source, at := range s.Report.Owed {
		done, err := f.publishFor(ctx, s, report, source, at)
		switch {
		case err != nil:
			return err
		case done:
			told = append(told, source)
		default:
			waits = true
		}
	}

	if len(told) > 0 {
		_, err := f.Queue.Ledger().ChangeSample(ctx, key, func(sample *pipeline.Sample) bool {
			if sample.Report == nil {
				return false
			}
			sample.Reported(sample.Report.State, told, f.Now())
			return true
		})
		if err != nil {
			return err
		}
	}
	if waits {
		f.Log.Debug().Str("sha256", key).Msg("cannot publish a report: a job with these contents has not ended yet")
		f.reportLater(key, true, f.Now().Add(f.config().Lease/3))
	}

	return nil
}

// publishFor publishes for a source a report that has been available since the given time. It
// returns false if the source's job has not ended yet, which will happen shortly.
func (f *reportFetcher) publishFor(ctx context.Context, s queue.SampleEntry, report results.Report, source string, at time.Time) (bool, error) {
	finals, err := f.finals(ctx, s, 2*finalEventWait, []string{source})
	if err != nil {
		return false, err
	}

	final, ended := finals[source]
	switch {
	case !ended:
		return f.Now().Sub(at) >= finalEventWait, nil
	case report.Status == "": // its document was removed
		return true, nil
	}

	return true, f.Queue.Events().PublishReport(ctx, final, report, at)
}

// loadPublishedReport returns a report that was published before, or the zero value if its document
// was removed.
func (f *reportFetcher) loadPublishedReport(ctx context.Context, s queue.SampleEntry) (results.Report, error) {
	if s.Report.State == results.ReportMissing {
		return pipeline.MissingReport(), nil
	}

	reports, err := f.Queue.Streams().Reports(ctx)
	if err != nil {
		return results.Report{}, err
	}
	body, _, err := reports.Read(ctx, s.Key, pipeline.ReportXML)
	if isNotStored(err) {
		return results.Report{}, nil
	}
	if err != nil {
		return results.Report{}, err
	}

	return available(ctx, reports, s.Key, body)
}
