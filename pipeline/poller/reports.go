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
	// Reports of samples that were decided longer ago are not looked for when a leader begins.
	reportsBack = 7 * 24 * time.Hour

	// How long the event of a job is waited for after which a source is told.
	owedPatience = 10 * time.Minute

	// How soon it is looked again whether there is budget to spare.
	spareTicks = 15

	// The largest document that is kept besides the report, in bytes.
	maxDocument = 32 << 20

	// The account of the query budget under which documents are counted.
	reportsAccount = "reports"
)

// Why a report waits.
var (
	errVerdictsFirst = errors.New("verdicts are to be asked for first")
	errNoSpare       = errors.New("no query to spare for reports")
)

// reportLoop fetches the reports that are due, one at a time, whenever verdicts leave queries to
// spare. What is due is what the ledger says: a sample with a verdict that is wanted, and without a
// note of its report. A document is kept before the event is published, and the note comes last, so
// that a leader that dies leaves the rest to the next one.
func (p *Poller) reportLoop(ctx context.Context) error {
	if !p.reporting() {
		<-ctx.Done()
		return ctx.Err()
	}

	for failures := 0; ; {
		key, owed, wait := p.nextReport()
		if key == "" {
			if err := p.waitForReport(ctx, wait); err != nil {
				return err
			}
			continue
		}

		do := p.report
		if owed {
			do = p.publishOwed
		}
		err := do(ctx, key)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.fetchingHalts(err)

		switch {
		case err == nil:
			failures = 0
			continue
		case errors.Is(err, errVerdictsFirst):
			wait = p.Tick
		case errors.Is(err, errNoSpare):
			wait = spareTicks * p.Tick
		default:
			p.Log.Warn().Err(err).Str("sha256", key).Msg("cannot fetch or publish a report; retrying")
			wait = p.config().Backoff(failures)
			failures++
			p.reportLater(key, owed, p.Now().Add(wait))
		}
		if err := p.waitForReport(ctx, wait); err != nil {
			return err
		}
	}
}

// nextReport is what the list says is next.
func (p *Poller) nextReport() (key string, owed bool, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Metrics.ReportsWaiting.Set(float64(len(p.reports.fetch)))

	return p.reports.next(p.Now())
}

// fetchingHalts notes for people why no report is fetched now, where that is so.
func (p *Poller) fetchingHalts(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.reports.why = ""
	if err != nil {
		p.reports.why = err.Error()
	}
}

// reporting reports whether reports are fetched at all.
func (p *Poller) reporting() bool { return p.Reports != nil && p.config().Reporting() }

// waitForReport waits for news of a report, at most for d and for idleTicks.
func (p *Poller) waitForReport(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(min(max(d, time.Millisecond), idleTicks*p.Tick))
	defer t.Stop()

	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.wakeReport:
	case <-t.C:
	}

	return nil
}

// noteReport takes up what the ledger says of a sample.
func (p *Poller) noteReport(r queue.SampleRecord, s pipeline.Sample) {
	if !p.reporting() {
		return
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	if p.reports.note(r.Key, s, r.Time) {
		signal(p.wakeReport)
	}
}

// report does what is due about one report, and says when it is due again, or forgets it.
func (p *Poller) report(ctx context.Context, key string) error {
	s, err := p.Queue.Sample(ctx, key)
	if err != nil {
		return err
	}
	if s.Report != nil || !p.config().WantsReport(key, s.Sample) {
		p.forgetReport(key)
		return nil
	}
	if p.stillEnding(key) {
		p.reportLater(key, false, p.Now().Add(p.config().FirstPoll))
		return nil
	}

	reports, err := p.Queue.Reports(ctx)
	if err != nil {
		return err
	}
	body, at, err := p.keptOrFetched(ctx, reports, key)
	switch {
	case err == nil:
		found, err := available(ctx, reports, key, body)
		if err != nil {
			return err
		}
		return p.publishReport(ctx, s, found, at)
	case errors.Is(err, wildfire.ErrNotReady) && p.Now().Before(p.config().ReportDeadline(s.Sample)):
		p.reportLater(key, false, p.config().ReportSchedule().Next(s.DecidedAt, p.Now()))
		return nil
	case noReport(err):
		return p.publishReport(ctx, s, pipeline.MissingReport(), p.Now())
	}

	return err
}

// noReport reports whether an error says that there is no report, and none to come.
func noReport(err error) bool {
	return errors.Is(err, wildfire.ErrNotReady) ||
		errors.Is(err, wildfire.ErrGone) ||
		errors.Is(err, wildfire.ErrSampleForbidden) ||
		errors.Is(err, wildfire.ErrInvalidArgument)
}

// stillEnding reports whether jobs wait for a sample that is decided: they end any moment.
func (p *Poller) stillEnding(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.list.find(key)

	return e != nil && e.jobs.len() > 0
}

// reportLater makes a report due again: to be told of, where that is owed, or to be fetched.
func (p *Poller) reportLater(key string, owed bool, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if owed {
		p.reports.owe(key, at)
	} else {
		p.reports.put(key, at)
	}
}

func (p *Poller) forgetReport(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reports.drop(key)
}

// keptOrFetched returns the report about a sample, and when it was kept.
func (p *Poller) keptOrFetched(ctx context.Context, reports *queue.Reports, key string) ([]byte, time.Time, error) {
	body, at, err := reports.Read(ctx, key, pipeline.ReportXML)
	if !notKept(err) {
		return body, at, err
	}

	if err := p.toSpare(ctx, len(p.config().ReportDocuments())); err != nil {
		return nil, time.Time{}, err
	}
	body, err = p.document(ctx, func(io.Writer) ([]byte, error) { return p.Reports.ReportXML(ctx, key) })
	if err != nil {
		return nil, time.Time{}, err
	}
	p.keepOthers(ctx, reports, key)

	// The report comes last: where it is kept, nothing more is asked for.
	if err := reports.Put(ctx, key, pipeline.ReportXML, body); err != nil {
		return nil, time.Time{}, err
	}

	return body, p.Now(), nil
}

// notKept reports whether an error says that a document is not there, or is there in part.
func notKept(err error) bool {
	return errors.Is(err, pipeline.ErrContentMissing) || errors.Is(err, pipeline.ErrUnreadable)
}

// keepOthers fetches and keeps what is wanted besides the report. There may be none, and a report
// without them is better than none.
func (p *Poller) keepOthers(ctx context.Context, reports *queue.Reports, key string) {
	for _, document := range p.config().ReportDocuments()[1:] {
		if _, err := reports.Find(ctx, key, document); err == nil {
			continue // of a leader that died
		}

		body, err := p.document(ctx, func(w io.Writer) ([]byte, error) {
			var err error
			if document == pipeline.ReportPDF {
				_, err = p.Reports.ReportPDF(ctx, key, w)
			} else {
				_, err = p.Reports.PCAP(ctx, key, 0, w)
			}
			return nil, err
		})
		if err == nil {
			err = reports.Put(ctx, key, document, body)
		}
		if err != nil && !errors.Is(err, wildfire.ErrNotReady) && ctx.Err() == nil {
			p.Log.Warn().Err(err).Str("sha256", key).Str("document", document).Msg("cannot keep a document beside the report")
		}
	}
}

// toSpare returns an error unless n queries are left that verdicts don't need, and none wants to be
// asked.
func (p *Poller) toSpare(ctx context.Context, n int) error {
	if p.anything(false) || !p.Member.Sure() {
		return errVerdictsFirst
	}
	if _, paused, _ := p.Pauses.Active(pipeline.Queries); paused {
		return errNoSpare
	}

	spare, err := p.Queries.Spare(ctx)
	if err != nil {
		return err
	}
	if spare < n {
		return errNoSpare
	}

	return nil
}

// document spends a query on a document. What is written to the writer that fetch gets is returned,
// or what fetch does.
func (p *Poller) document(ctx context.Context, fetch func(io.Writer) ([]byte, error)) ([]byte, error) {
	if err := p.Queries.Take(ctx, reportsAccount, pipeline.Normal); err != nil {
		if errors.Is(err, fleet.ErrSpent) {
			return nil, errNoSpare
		}
		return nil, err
	}

	var written limitedBuffer
	body, err := fetch(&written)
	if err == nil {
		p.Pauses.Healed(ctx, pipeline.Queries)
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
		p.afterQueryError(ctx, err)
		return nil, errNoSpare
	}
	p.Metrics.Failed.Inc()

	return nil, err
}

// limitedBuffer takes as much as a document may have.
type limitedBuffer struct{ bytes.Buffer }

var errDocumentTooLarge = fmt.Errorf("larger than %d bytes", maxDocument)

func (b *limitedBuffer) Write(data []byte) (int, error) {
	if b.Len()+len(data) > maxDocument {
		return 0, errDocumentTooLarge
	}

	return b.Buffer.Write(data)
}

// available reads a report that is kept.
func available(ctx context.Context, reports *queue.Reports, key string, body []byte) (results.Report, error) {
	report, err := wildfire.ParseReport(bytes.NewReader(body))
	if err != nil {
		return results.Report{}, err // it was read when it was fetched
	}

	kept := []string{pipeline.ReportXML}
	for _, document := range []string{pipeline.ReportPDF, pipeline.ReportPCAP} {
		if _, err := reports.Find(ctx, key, document); err == nil {
			kept = append(kept, document)
		}
	}

	return pipeline.AvailableReport(report, kept), nil
}

// publishReport publishes what there is to say of a report, once for each source that a job of
// ended with the sample's verdict, and notes that in the ledger.
func (p *Poller) publishReport(ctx context.Context, s queue.SampleEntry, report results.Report, at time.Time) error {
	finals, err := p.finals(ctx, s, time.Minute, nil)
	if err != nil {
		return err
	}
	maps.DeleteFunc(finals, func(source string, _ results.Event) bool { return !p.config().WantsReportFor(source, s.Sample) })
	told := slices.Sorted(maps.Keys(finals))
	for _, source := range told {
		ev := pipeline.ReportEvent(finals[source], report, at, p.Queue.MaxReport())
		if err := p.Queue.PublishReport(ctx, ev); err != nil {
			return err
		}
	}

	_, err = p.Queue.ChangeSample(ctx, s.Key, func(sample *pipeline.Sample) bool {
		if sample.State != pipeline.StateVerdict || sample.Report != nil {
			return false
		}
		sample.Reported(report.Status, told, p.Now())
		return true
	})
	if err != nil {
		return err
	}

	p.forgetReport(s.Key)
	if report.Status == results.ReportMissing {
		p.Metrics.ReportsMissing.Inc()
	} else {
		p.Metrics.ReportsFetched.Inc()
	}
	p.Log.Info().Str("sha256", s.Key).Str("status", string(report.Status)).Strs("sources", told).Msg("report published")

	return nil
}

// finals are the first events by which jobs of each source ended with a sample's verdict, from so
// long on before the ledger said what is to be done about its report.
func (p *Poller) finals(ctx context.Context, s queue.SampleEntry, before time.Duration, sources []string) (map[string]results.Event, error) {
	p.mu.Lock()
	e := p.reports.entries[s.Key]
	p.mu.Unlock()
	if e == nil {
		return nil, nil
	}

	sub := results.NewSubscriber(p.Queue.JetStream(), results.SubscriberConfig{
		Prefix: p.Queue.Prefix(),
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
		return nil, fmt.Errorf("find whom to tell of the report on %s: %w", s.Key, err)
	}

	return first, nil
}

// publishOwed publishes a report that is known for the sources whose first job with the contents
// ended later.
func (p *Poller) publishOwed(ctx context.Context, key string) error {
	s, err := p.Queue.Sample(ctx, key)
	if err != nil {
		return err
	}
	if s.Report == nil || len(s.Report.Owed) == 0 {
		p.forgetReport(key)
		return nil
	}

	report, err := p.known(ctx, s)
	if err != nil {
		return err
	}
	var told []string
	waits := false
	for source, at := range s.Report.Owed {
		done, err := p.publishFor(ctx, s, report, source, at)
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
		_, err := p.Queue.ChangeSample(ctx, key, func(sample *pipeline.Sample) bool {
			if sample.Report == nil {
				return false
			}
			sample.Reported(sample.Report.State, told, p.Now())
			return true
		})
		if err != nil {
			return err
		}
	}
	if waits {
		p.Log.Debug().Str("sha256", key).Msg("a job that is to be told of a report has not ended yet")
		p.reportLater(key, true, p.Now().Add(p.config().Lease/3))
	}

	return nil
}

// publishFor publishes a report that is known since a time for a source. It reports false where the
// source's job has not ended yet, which it does any moment.
func (p *Poller) publishFor(ctx context.Context, s queue.SampleEntry, report results.Report, source string, at time.Time) (bool, error) {
	finals, err := p.finals(ctx, s, 2*owedPatience, []string{source})
	if err != nil {
		return false, err
	}

	final, ended := finals[source]
	switch {
	case !ended:
		return p.Now().Sub(at) >= owedPatience, nil
	case report.Status == "": // its document is gone
		return true, nil
	}

	return true, p.Queue.PublishReport(ctx, pipeline.ReportEvent(final, report, at, p.Queue.MaxReport()))
}

// known is a report that was published before; the zero value where its document is gone.
func (p *Poller) known(ctx context.Context, s queue.SampleEntry) (results.Report, error) {
	if s.Report.State == results.ReportMissing {
		return pipeline.MissingReport(), nil
	}

	reports, err := p.Queue.Reports(ctx)
	if err != nil {
		return results.Report{}, err
	}
	body, _, err := reports.Read(ctx, s.Key, pipeline.ReportXML)
	if notKept(err) {
		return results.Report{}, nil
	}
	if err != nil {
		return results.Report{}, err
	}

	return available(ctx, reports, s.Key, body)
}
