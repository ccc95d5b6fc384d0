package poller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

const (
	// The time until the next check for spare queries, in ticks.
	spareTicks = 15

	// The largest document that is stored besides the report, in bytes.
	maxDocument = 32 << 20

	// Queries for documents are counted in the budget under this name.
	reportsAccount = "reports"
)

// The reasons why a report has to wait.
var (
	errVerdictsFirst  = errors.New("queries for verdicts come first")
	errNoSpareQueries = errors.New("no spare queries for reports")
)

// loadOrFetchReport returns the stored report about a sample, and when it was stored. If there is
// none, it fetches the report and the other documents, and stores them.
func (f *reportFetcher) loadOrFetchReport(ctx context.Context, reports *queue.Reports, key string) ([]byte, time.Time, error) {
	body, at, err := reports.Read(ctx, key, pipeline.ReportXML)
	if !isNotStored(err) {
		return body, at, err
	}

	if err := f.checkSpareQueries(ctx, len(f.config().ReportDocuments())); err != nil {
		return nil, time.Time{}, err
	}
	body, err = f.fetchDocument(ctx, func(io.Writer) ([]byte, error) { return f.Reports.ReportXML(ctx, key) })
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

// isNotStored reports whether an error says that a stored document is missing or cannot be read in
// full.
func isNotStored(err error) bool {
	return errors.Is(err, pipeline.ErrContentMissing) || errors.Is(err, pipeline.ErrUnreadable)
}

// storeOtherDocuments fetches and stores the other documents of the configuration. It only logs
// errors: a document may not exist, and the report alone is better than nothing.
func (f *reportFetcher) storeOtherDocuments(ctx context.Context, reports *queue.Reports, key string) {
	for _, document := range f.config().ReportDocuments()[1:] {
		if _, err := reports.Find(ctx, key, document); err == nil {
			continue // stored by an earlier attempt of this or another leader
		}

		body, err := f.fetchDocument(ctx, func(w io.Writer) ([]byte, error) {
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
			f.Log.Warn().Err(err).Str("sha256", key).Str("document", document).Msg("cannot fetch or store an additional document; the report is published without it")
		}
	}
}

// checkSpareQueries returns errVerdictsFirst if there is a verdict to ask for or this worker may
// have lost its membership. It returns errNoSpareQueries if queries are paused, or if the budget
// has fewer than n queries that verdicts will not need.
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

// fetchDocument uses one query of the budget and calls fetch. It returns fetch's result or, if that
// is nil, what fetch wrote. If no query may be made now, it returns errNoSpareQueries.
func (f *reportFetcher) fetchDocument(ctx context.Context, fetch func(io.Writer) ([]byte, error)) ([]byte, error) {
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

	f.Metrics.Failed.Inc()
	switch pipeline.Classify(pipeline.OpQuery, err).Action {
	case pipeline.ParkBudget, pipeline.PauseFleet, pipeline.Defer:
		f.querier.afterQueryError(ctx, err)
		return nil, errNoSpareQueries
	}

	return nil, err
}

// noReport reports whether an error of WildFire means that there is no report. For ErrNotReady,
// this is final only after the report's deadline.
func noReport(err error) bool {
	return errors.Is(err, wildfire.ErrNotReady) ||
		errors.Is(err, wildfire.ErrGone) ||
		errors.Is(err, wildfire.ErrSampleForbidden) ||
		errors.Is(err, wildfire.ErrInvalidArgument)
}

// limitedBuffer is a buffer that refuses more than maxDocument bytes.
type limitedBuffer struct{ bytes.Buffer }

var errDocumentTooLarge = fmt.Errorf("larger than %d bytes", maxDocument)

func (b *limitedBuffer) Write(data []byte) (int, error) {
	if b.Len()+len(data) > maxDocument {
		return 0, errDocumentTooLarge
	}

	return b.Buffer.Write(data)
}

// parseStoredReport reads a stored report.
func parseStoredReport(ctx context.Context, reports *queue.Reports, key string, body []byte) (results.Report, error) {
	report, err := wildfire.ParseReport(bytes.NewReader(body))
	if err != nil {
		return results.Report{}, err // unlikely, because the client parsed it before
	}

	kept := []string{pipeline.ReportXML}
	for _, document := range []string{pipeline.ReportPDF, pipeline.ReportPCAP} {
		if _, err := reports.Find(ctx, key, document); err == nil {
			kept = append(kept, document)
		}
	}

	return pipeline.AvailableReport(report, kept), nil
}
