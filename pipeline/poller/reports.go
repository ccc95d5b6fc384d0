package poller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

const (
	// A new leader looks for reports to fetch or publish in the records of samples. It looks back
	// by this time plus maxLeaderGap.
	reportLookBack = 7 * 24 * time.Hour

	// How long an owed report waits for the final event of the source's job.
	finalEventWait = 10 * time.Minute
)

// reportLoop fetches and publishes the reports that are due, one at a time. It fetches only while
// verdicts leave spare queries. A report has to be fetched if it is wanted, its sample has a
// verdict, and the sample's record does not say yet what became of the report. The documents are
// stored before the event is published, and the outcome is recorded last. If the leader dies, the
// next one continues.
func (f *reportFetcher) reportLoop(ctx context.Context) error {
	if !f.enabled() {
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

		do := f.fetchAndPublish
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

// fetchAndPublish fetches and publishes one report of reportList.toFetch, or schedules another
// attempt.
func (f *reportFetcher) fetchAndPublish(ctx context.Context, key string) error {
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
		found, err := parseStoredReport(ctx, reports, key, body)
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

// publishReport publishes the report's event once for each source that wants it and has a job that
// ended with the sample's verdict. Then it records that in the ledger.
func (f *reportFetcher) publishReport(ctx context.Context, s queue.SampleEntry, report results.Report, at time.Time) error {
	finals, err := f.finalEvents(ctx, s, time.Minute, nil)
	if err != nil {
		return err
	}
	maps.DeleteFunc(finals, func(source string, _ results.Event) bool { return !f.config().WantsReportFor(source, s.Sample) })
	sources := slices.Sorted(maps.Keys(finals))
	for _, source := range sources {
		if err := f.Queue.Events().PublishReport(ctx, finals[source], report, at); err != nil {
			return err
		}
	}

	_, err = f.Queue.Ledger().ChangeSample(ctx, s.Key, func(sample *pipeline.Sample) bool {
		if sample.State != pipeline.StateVerdict || sample.Report != nil {
			return false
		}
		sample.Reported(report.Status, sources, f.Now())
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
	f.Log.Info().Str("sha256", s.Key).Str("status", string(report.Status)).Strs("sources", sources).Msg("report done")

	return nil
}

// publishOwed publishes a report for further sources: those whose first job with the contents ended
// after the report was published.
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
	var published []string
	waits := false
	for source, at := range s.Report.Owed {
		done, err := f.publishFor(ctx, s, report, source, at)
		switch {
		case err != nil:
			return err
		case done:
			published = append(published, source)
		default:
			waits = true
		}
	}

	if len(published) > 0 {
		_, err := f.Queue.Ledger().ChangeSample(ctx, key, func(sample *pipeline.Sample) bool {
			if sample.Report == nil {
				return false
			}
			sample.Reported(sample.Report.State, published, f.Now())
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

// loadPublishedReport returns a report that was published before. If its document was removed or
// is damaged, it returns the zero Report.
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

	return parseStoredReport(ctx, reports, s.Key, body)
}

// publishFor publishes a report for one source. The parameter at is when the report became owed to
// that source. publishFor returns false if the caller has to try again, because the source's job
// has not ended yet. After finalEventWait it gives up and returns true.
func (f *reportFetcher) publishFor(ctx context.Context, s queue.SampleEntry, report results.Report, source string, at time.Time) (bool, error) {
	finals, err := f.finalEvents(ctx, s, 2*finalEventWait, []string{source})
	if err != nil {
		return false, err
	}

	final, ended := finals[source]
	switch {
	case !ended:
		return f.Now().Sub(at) >= finalEventWait, nil
	case report.Status == "": // the document was removed or is damaged, so nothing can be published
		return true, nil
	}

	return true, f.Queue.Events().PublishReport(ctx, final, report, at)
}

// finalEvents returns, for each source, the first event with the sample's verdict that ended a job
// or changed an earlier verdict. The search begins before reportEntry.since, by the given margin.
func (f *reportFetcher) finalEvents(ctx context.Context, s queue.SampleEntry, margin time.Duration, sources []string) (map[string]results.Event, error) {
	f.reportsMu.Lock()
	e := f.reports.entries[s.Key]
	f.reportsMu.Unlock()
	if e == nil {
		return nil, nil
	}

	sub := results.NewSubscriber(f.Queue.JetStream(), results.SubscriberConfig{
		Prefix: f.Queue.Prefix(),
		Since:  e.since.Add(-margin),
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
