package wildfire

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/beevik/etree"
)

// Report is the analysis of a sample. The overall answer is File.Malware; that of a single environment may
// be the opposite.
type Report struct {
	Version      string
	File         ReportFile
	Environments []Environment
}

// ReportFile describes the sample.
type ReportFile struct {
	Malware  string // "yes", "no" or "grayware"
	Filetype string // may differ from the submission's label for the same file
	Signer   string // "" where the file is not signed
	SHA256   string
	MD5      string
	SHA1     string // often empty
	Size     int64  // bytes
}

// Verdict is the report's overall answer as a verdict; false where it is none of the words that are known.
func (f ReportFile) Verdict() (Verdict, bool) {
	switch f.Malware {
	case "yes":
		return Malware, true
	case "no":
		return Benign, true
	case "grayware":
		return Grayware, true
	}
	return 0, false
}

// Environment is the analysis in one environment, static or dynamic.
type Environment struct {
	Version  string
	Platform string // the platform's id, as PCAP takes it
	Software string // the environment's name
	SHA256   string
	MD5      string
	Malware  string // "yes", "no" or "suspicious"

	Summary       []Finding
	Network       []Traffic
	Processes     []map[string]string // attributes of each process: "name", "pid", "command"
	ExtractedURLs []string

	// Sections is everything else, such as evidence, timeline, process_tree, static_analysis.
	Sections []Node
}

// Finding is something that the sample did or is.
type Finding struct {
	Text     string
	Score    float64 // 0 where there is none
	ID       string
	Details  string
	Behavior string
}

// Traffic is one contact of the sample with the network.
type Traffic struct {
	Kind       string            // "TCP", "UDP", "dns" or "url"
	Attributes map[string]string // as the service names them: "ip", "port", "country", "query", "host", "uri"
}

// Node is a part of a report that has no type of its own.
type Node struct {
	Name       string
	Attributes map[string]string
	Text       string
	Children   []Node
}

// Report fetches and parses the report about a sample. It comes later than the verdict: until it is there
// the error matches ErrNotReady, which also stands for a sample that the service does not know.
func (c *Client) Report(ctx context.Context, hash string) (Report, error) {
	report, _, err := c.report(ctx, hash)
	return report, err
}

// ReportXML fetches the report about a sample as the service wrote it, once Report could make sense of it.
func (c *Client) ReportXML(ctx context.Context, hash string) ([]byte, error) {
	_, document, err := c.report(ctx, hash)
	return document, err
}

func (c *Client) report(ctx context.Context, hash string) (report Report, document []byte, err error) {
	if hash, err = normalHash(hash); err != nil {
		return Report{}, nil, invalid(OpReport, err)
	}
	err = c.document(ctx, []field{{"hash", hash}, {"format", "xml"}}, func(body []byte) error {
		report, err = parseReport(body)
		if err == nil && len(hash) == sha256Length && report.File.SHA256 != "" && report.File.SHA256 != hash {
			return errors.New("report about another sample")
		}
		document = body
		return err
	})
	if err != nil {
		return Report{}, nil, err
	}
	return report, document, nil
}

// document fetches a report that is parsed as a whole.
func (c *Client) document(ctx context.Context, fields []field, use func([]byte) error) error {
	return c.do(ctx, exchange{
		op:     OpReport,
		build:  form(OpReport, fields...),
		stream: true,
		answer: func(response *http.Response, token string) error {
			body, err := readLimited(response.Body, maxReport)
			if err == nil {
				err = use(body)
			}
			if err != nil {
				return answerError(OpReport, response, token, body, err)
			}
			return nil
		},
	})
}

func parseReport(body []byte) (Report, error) {
	root, err := wildfireRoot(body, maxReportTags)
	if err != nil {
		return Report{}, err
	}
	info := root.SelectElement("file_info")
	if info == nil {
		return Report{}, errNoData
	}
	size, _ := strconv.ParseInt(childText(info, "size"), 10, 64)
	report := Report{
		Version: childText(root, "version"),
		File: ReportFile{
			Malware:  childText(info, "malware"),
			Filetype: childText(info, "filetype"),
			Signer:   childText(info, "file_signer"),
			SHA256:   childHash(info, "sha256", sha256Length),
			MD5:      childHash(info, "md5", md5Length),
			SHA1:     childText(info, "sha1"),
			Size:     max(size, 0),
		},
	}
	if report.File.Signer == "None" {
		report.File.Signer = ""
	}
	if tasks := root.SelectElement("task_info"); tasks != nil {
		for _, e := range tasks.SelectElements("report") {
			report.Environments = append(report.Environments, environment(e))
		}
	}
	return report, nil
}

func environment(e *etree.Element) Environment {
	env := Environment{
		Version:  childText(e, "version"),
		Platform: childText(e, "platform"),
		Software: childText(e, "software"),
		SHA256:   childHash(e, "sha256", sha256Length),
		MD5:      childHash(e, "md5", md5Length),
		Malware:  childText(e, "malware"),
	}
	for _, section := range e.ChildElements() {
		switch section.Tag {
		case "version", "platform", "software", "sha256", "md5", "malware":
		case "summary":
			env.Summary = append(env.Summary, findings(section)...)
		case "network":
			for _, contact := range section.ChildElements() {
				env.Network = append(env.Network, Traffic{Kind: contact.Tag, Attributes: attributes(contact)})
			}
		case "process_list":
			for _, process := range section.SelectElements("process") {
				env.Processes = append(env.Processes, attributes(process))
			}
		case "extracted_urls":
			env.ExtractedURLs = append(env.ExtractedURLs, extractedURLs(section)...)
		default:
			env.Sections = append(env.Sections, node(section))
		}
	}
	return env
}

func findings(summary *etree.Element) []Finding {
	var all []Finding
	for _, entry := range summary.SelectElements("entry") {
		score, _ := strconv.ParseFloat(entry.SelectAttrValue("score", ""), 64)
		all = append(all, Finding{
			Text:     trimmed(entry),
			Score:    score,
			ID:       entry.SelectAttrValue("id", ""),
			Details:  entry.SelectAttrValue("details", ""),
			Behavior: entry.SelectAttrValue("behavior", ""),
		})
	}
	return all
}

// extractedURLs takes the address from the text of an entry or from its attribute.
func extractedURLs(section *etree.Element) []string {
	var all []string
	for _, entry := range section.SelectElements("entry") {
		address := trimmed(entry)
		if address == "" {
			address = entry.SelectAttrValue("url", "")
		}
		if address != "" {
			all = append(all, address)
		}
	}
	return all
}

// node converts a part of a tree; its depth is limited by the parser.
func node(e *etree.Element) Node {
	n := Node{Name: e.Tag, Attributes: attributes(e), Text: trimmed(e)}
	for _, child := range e.ChildElements() {
		n.Children = append(n.Children, node(child))
	}
	return n
}

func attributes(e *etree.Element) map[string]string {
	if len(e.Attr) == 0 {
		return nil
	}
	all := make(map[string]string, len(e.Attr))
	for _, a := range e.Attr {
		all[a.Key] = a.Value
	}
	return all
}

// URLReport is the analysis of a web page.
type URLReport struct {
	AnalysisTime time.Time // zero where the answer gave none
	URLType      string    // such as "original"

	// Report is a JSON document whose form the service does not document.
	Report json.RawMessage
}

// URLReport fetches the report about a URL. Until it is there the error matches ErrNotReady. Not available
// on the WF-500, nor in every region.
func (c *Client) URLReport(ctx context.Context, url string) (URLReport, error) {
	if err := checkLink(url); err != nil {
		return URLReport{}, invalid(OpReport, err)
	}
	var report URLReport
	err := c.document(ctx, []field{{"url", url}}, func(body []byte) (err error) {
		report, err = parseURLReport(body)
		return err
	})
	if err != nil {
		return URLReport{}, err
	}
	return report, nil
}

// ReportMAEC fetches the report about a sample as a MAEC document, which is JSON. Until it is there the error
// matches ErrNotReady.
func (c *Client) ReportMAEC(ctx context.Context, hash string) (json.RawMessage, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return nil, invalid(OpReport, err)
	}
	var report json.RawMessage
	err = c.document(ctx, []field{{"hash", hash}, {"format", "maec"}}, func(body []byte) error {
		report, err = parseMAEC(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// parseURLReport reads {"success": …, "result": {"analysis_time", "url_type", "report"}}. The value of success is
// ignored: it was seen as a string and as a boolean, and says nothing that the report does not.
func parseURLReport(body []byte) (URLReport, error) {
	var answer struct {
		Result struct {
			AnalysisTime text            `json:"analysis_time"`
			URLType      text            `json:"url_type"`
			Report       json.RawMessage `json:"report"`
		} `json:"result"`
	}
	if err := parseJSON(body, &answer); err != nil {
		return URLReport{}, err
	}
	report, err := embedded(answer.Result.Report)
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
	return embedded(answer.Result)
}

// parseJSON parses an answer; where it is XML instead, it says what that is.
func parseJSON(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err == nil && ownJSON(body) {
		return nil
	}
	if _, err := wildfireRoot(body, maxTags); err != nil {
		if _, ok := errors.AsType[errorDocument](err); ok || errors.Is(err, errNoData) {
			return err
		}
	}
	return errors.New("not the JSON that was expected")
}

// embedded unwraps a JSON document that comes as itself or as a text in a string. Nothing, an empty string and
// null mean that there is none yet.
func embedded(value json.RawMessage) (json.RawMessage, error) {
	var inner string
	if err := json.Unmarshal(value, &inner); err == nil {
		value = json.RawMessage(inner)
	}
	switch {
	case len(value) == 0 || string(value) == "null":
		return nil, errNoData
	case !json.Valid(value):
		return nil, errors.New("the report inside is not JSON")
	}
	return value, nil
}

// text is a JSON string, or nothing where it is something else.
type text string

// UnmarshalJSON never fails: a field of an undocumented form must not cost the report.
func (t *text) UnmarshalJSON(value []byte) error {
	var s string
	if json.Unmarshal(value, &s) == nil {
		*t = text(s)
	}
	return nil
}
