package wildfire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Report fetches the report about a sample. WildFire completes the report some time after the
// verdict. Until then, and also if WildFire does not know the sample, the error matches
// ErrNotReady.
func (c *Client) Report(ctx context.Context, hash string) (Report, error) {
	return c.fetchReport(ctx, hash, readReport)
}

// ReportXML fetches the report about a sample as WildFire's XML, and checks that ParseReport can
// read it.
func (c *Client) ReportXML(ctx context.Context, hash string) ([]byte, error) {
	var document []byte
	_, err := c.fetchReport(ctx, hash, func(answer io.Reader) (_ Report, err error) {
		if document, err = readLimited(answer, maxReport); err != nil {
			return Report{}, err
		}

		return readReport(bytes.NewReader(document))
	})
	if err != nil {
		return nil, err
	}

	return document, nil
}

// fetchReport fetches an XML report and passes it to read.
func (c *Client) fetchReport(ctx context.Context, hash string, read func(io.Reader) (Report, error)) (report Report, err error) {
	hash, err = normalHash(hash)
	if err != nil {
		return Report{}, invalidArgument(OpReport, err)
	}

	err = c.do(ctx, apiCall{
		op:     OpReport,
		build:  form(OpReport, field{"hash", hash}, field{"format", "xml"}),
		stream: true,
		handle: func(response *http.Response, token string) error {
			answer := bufio.NewReaderSize(response.Body, maxReportHead)
			head, _ := answer.Peek(maxReportHead)
			head = bytes.Clone(head)

			var err error
			report, err = read(answer)
			if err == nil && len(hash) == sha256Length && report.SHA256 != "" && report.SHA256 != hash {
				err = errors.New("report about another sample")
			}
			if err != nil {
				report = Report{}
				return answerError(OpReport, response, token, head, err)
			}

			return nil
		},
	})

	return report, err
}

// maxReportHead is how many bytes of an answer are kept to recognize its sender.
const maxReportHead = 4 << 10

// ParseReport reads a report in WildFire's XML, such as Client.ReportXML returns.
//
// It reads at most 32 MiB, as a stream. It refuses document type declarations, deep nesting and too
// many elements. The error matches ErrNotReady if the document has no report yet, ErrRejected for
// an error document, ErrForeignAnswer if the document is not WildFire's, and ErrAnswer if it is
// WildFire's but cannot be read. It wraps an error of r.
func ParseReport(r io.Reader) (Report, error) {
	buffered := bufio.NewReaderSize(r, maxReportHead)
	head, _ := buffered.Peek(maxReportHead)
	isWildFires := isWildFireXML(head)

	report, err := readReport(buffered)
	if err == nil {
		return report, nil
	}

	kind := ErrAnswer
	switch _, refused := errors.AsType[errorDocument](err); {
	case refused:
		kind = ErrRejected
	case errors.Is(err, errNoData):
		kind = ErrNotReady
	case !isWildFires:
		kind = ErrForeignAnswer
	}

	return Report{}, fmt.Errorf("wildfire: report: %w: %w", kind, err)
}
