package wildfire

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// URLReport is the analysis of a web page.
type URLReport struct {
	AnalysisTime time.Time // zero if the answer had none
	URLType      string    // such as "original"

	// Report is a JSON document in an undocumented format.
	Report json.RawMessage
}

// URLReport fetches the report about a URL. Until the report is complete, the error matches
// ErrNotReady. The WF-500 and some regions do not support this call.
func (c *Client) URLReport(ctx context.Context, url string) (URLReport, error) {
	if err := checkLink(url); err != nil {
		return URLReport{}, invalidArgument(OpReport, err)
	}

	return fetch(ctx, c, jsonReport(field{"url", url}), maxReport, parseURLReport)
}

// jsonReport is the call for a report in JSON.
func jsonReport(fields ...field) apiCall {
	return apiCall{op: OpReport, build: form(OpReport, fields...), stream: true}
}

// ReportMAEC fetches the report about a sample as a MAEC document, which is JSON. Until the report
// is complete, the error matches ErrNotReady.
func (c *Client) ReportMAEC(ctx context.Context, hash string) (json.RawMessage, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return nil, invalidArgument(OpReport, err)
	}

	return fetch(ctx, c, jsonReport(field{"hash", hash}, field{"format", "maec"}), maxReport, parseMAEC)
}

// parseURLReport reads {"success": …, "result": {"analysis_time", "url_type", "report"}}. The value
// of success is ignored: it can be a string or a boolean, and adds nothing to the report.
func parseURLReport(body []byte) (URLReport, error) {
	var answer struct {
		Result struct {
			AnalysisTime lenientString   `json:"analysis_time"`
			URLType      lenientString   `json:"url_type"`
			Report       json.RawMessage `json:"report"`
		} `json:"result"`
	}
	if err := parseJSON(body, &answer); err != nil {
		return URLReport{}, err
	}

	report, err := unwrapJSON(answer.Result.Report)
	if err != nil {
		return URLReport{}, err
	}

	return URLReport{
		AnalysisTime: parseTime(string(answer.Result.AnalysisTime)),
		URLType:      string(answer.Result.URLType),
		Report:       report,
	}, nil
}

// parseMAEC reads {"result": "<JSON text>"}.
func parseMAEC(body []byte) (json.RawMessage, error) {
	var answer struct {
		Result json.RawMessage `json:"result"`
	}
	if err := parseJSON(body, &answer); err != nil {
		return nil, err
	}
	return unwrapJSON(answer.Result)
}

// parseJSON parses an answer. If WildFire sent an error document or an empty document in XML
// instead, the error says so.
func parseJSON(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err == nil && isWildFireJSON(body) {
		return nil
	}
	if _, err := wildfireRoot(body, maxTags); err != nil {
		if _, ok := errors.AsType[errorDocument](err); ok || errors.Is(err, errNoData) {
			return err
		}
	}
	return errors.New("not the expected JSON")
}

// unwrapJSON returns a JSON document that is in an answer, either directly or as the text of a
// string. It returns errNoData for a missing value, an empty string and null.
func unwrapJSON(value json.RawMessage) (json.RawMessage, error) {
	var inner string
	if err := json.Unmarshal(value, &inner); err == nil {
		value = json.RawMessage(inner)
	}

	switch {
	case len(value) == 0 || string(value) == "null":
		return nil, errNoData
	case !json.Valid(value):
		return nil, errors.New("the embedded report is not JSON")
	}

	return value, nil
}

// lenientString is the value of a JSON string, or "" if the JSON value is of another type.
type lenientString string

// UnmarshalJSON never fails, because one unexpected field must not make the report unreadable.
func (t *lenientString) UnmarshalJSON(value []byte) error {
	var s string
	if json.Unmarshal(value, &s) == nil {
		*t = lenientString(s)
	}
	return nil
}
