package wildfire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// submitForVerdict submits a file to a server without delay, and returns its hash.
func submitForVerdict(t *testing.T, client *wildfire.Client, name string) string {
	t.Helper()
	got, err := client.SubmitFile(t.Context(), file(name, contents))
	if err != nil {
		t.Fatal(err)
	}

	return got.SHA256
}

// TestReportIsAvailableInEachFormat fetches the report about a malicious sample of the simulation,
// in several formats.
func TestReportIsAvailableInEachFormat(t *testing.T) {
	t.Parallel()
	styles := []wildfiretest.Style{
		0,
		wildfiretest.OneLine | wildfiretest.NoDeclaration,
		wildfiretest.NoContentType,
		wildfiretest.Chunked,
		wildfiretest.TrailingGarbage,
		wildfiretest.UnknownEncoding,
	}
	for _, style := range styles {
		client, _ := start(t, wildfiretest.New(wildfiretest.WithDelay(0), wildfiretest.WithStyle(style)))
		hash := submitForVerdict(t, client, "malware.exe")
		report, err := client.Report(t.Context(), hash)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(simulatedReport(hash), report); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}

		document, err := client.ReportXML(t.Context(), hash)
		if err != nil {
			t.Fatal(err)
		}

		again, err := wildfire.ParseReport(bytes.NewReader(document))
		if diff := cmp.Diff(report, again); err != nil || diff != "" {
			t.Errorf("as XML: %v (-fetched +parsed):\n%s", err, diff)
		}
		if verdict, ok := report.Verdict(); !ok || verdict != wildfire.Malware {
			t.Errorf("verdict %v, %v", verdict, ok)
		}
	}
}

// simulatedReport is the simulation's report about malware.exe.
func simulatedReport(hash string) wildfire.Report {
	found := wildfiretest.IndicatorsOf(hash)
	dropped := wildfire.DroppedFile{
		Path:   found.DroppedPath,
		SHA256: found.DroppedSHA256,
		SHA1:   found.DroppedSHA1,
		MD5:    found.DroppedMD5,
	}
	withType := dropped
	withType.Type, withType.Size = "exe", 23312

	return wildfire.Report{
		Malware:  "yes",
		Filetype: "PE",
		Size:     int64(len(contents)),
		SHA256:   hash,
		MD5:      md5Of(contents),
		Platforms: []wildfire.Platform{
			{ID: "100", Name: "Static Analyzer", Malware: "no"},
			{ID: "66", Name: "Windows 10 64-bit", Malware: "yes"},
		},
		Behaviors: []wildfire.Behavior{
			{
				ID: "2", Text: "Created or modified a file", Score: 0.1, Kind: "file",
				Details: "Legitimate software creates files too.",
			},
			{
				ID: "35", Text: found.Behavior, Score: 0.75, Kind: "dropper",
				Details: "Malware often leaves executables in user folders.",
			},
			{
				ID: "12", Text: "Changed the registry to start with Windows", Score: 0.5, Kind: "persistence",
				Details: "The file starts again when the user logs on.",
			},
		},
		Processes: []wildfire.Process{
			{Name: "sample.exe", Command: `"C:\sample.exe" /q`, PID: "884"},
			{Name: found.DroppedPath, Command: found.DroppedPath + " -s", PID: "1020"},
		},
		RegistryKeys: []wildfire.RegistryKey{{Key: found.RegistryKey, Value: found.RegistryName, Data: found.DroppedPath}},
		FilesWritten: []string{found.DroppedPath},
		Dropped:      []wildfire.DroppedFile{withType},
		Mutexes:      []string{found.Mutex},
		Connections:  []wildfire.Connection{{Protocol: "tcp", IP: found.IP, Port: found.Port, Country: "ZZ"}},
		IPs:          []string{found.IP},
		Domains:      []string{found.Domain},
		URLs:         []string{found.URL},
		UserAgents:   []string{found.UserAgent},
		Links:        []wildfire.EmbeddedLink{{URL: strings.Replace(found.Link, "https:", "http:", 1), Verdict: "unknown"}},
	}
}

// TestMissingReportIsNotReady: both answers without a report are ErrNotReady, never an empty
// report.
func TestMissingReportIsNotReady(t *testing.T) {
	t.Parallel()
	for _, style := range []wildfiretest.Style{0, wildfiretest.ResponseRoot} {
		client, _ := start(t, wildfiretest.New(wildfiretest.WithDelay(time.Hour), wildfiretest.WithStyle(style)))
		hash := submitForVerdict(t, client, "a.exe")
		if _, err := client.Report(t.Context(), hash); !errors.Is(err, wildfire.ErrNotReady) || !errors.Is(err, wildfire.ErrNotFound) {
			t.Errorf("xml: got %v, want ErrNotReady", err)
		}
		if document, err := client.ReportXML(t.Context(), hash); !errors.Is(err, wildfire.ErrNotReady) || document != nil {
			t.Errorf("as XML: got %q, %v; want ErrNotReady", document, err)
		}
		if _, err := client.ReportMAEC(t.Context(), hash); !errors.Is(err, wildfire.ErrNotReady) {
			t.Errorf("maec: got %v, want ErrNotReady", err)
		}

		var out bytes.Buffer
		if _, err := client.ReportPDF(t.Context(), hash, &out); !errors.Is(err, wildfire.ErrNotReady) || out.Len() != 0 {
			t.Errorf("pdf: got %v and %d bytes, want ErrNotReady", err, out.Len())
		}
		if _, err := client.URLReport(t.Context(), "https://example.test"); !errors.Is(err, wildfire.ErrNotReady) {
			t.Errorf("url: got %v, want ErrNotReady", err)
		}
	}
}

func TestReportAboutAnotherSampleIsAnError(t *testing.T) {
	t.Parallel()
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = &answering{status: 200, body: "<wildfire><file_info><malware>no</malware><sha256>" + sha256Of("x") + "</sha256></file_info></wildfire>"}
	})
	if report, err := c.Report(t.Context(), anyHash); !errors.Is(err, wildfire.ErrAnswer) || report.Malware != "" {
		t.Errorf("got %+v, %v; want ErrAnswer", report, err)
	}
}

func TestURLReport(t *testing.T) {
	t.Parallel()
	for _, style := range []wildfiretest.Style{0, wildfiretest.ReportObject} {
		client, _ := start(t, wildfiretest.New(wildfiretest.WithDelay(0), wildfiretest.WithStyle(style)))
		if _, err := client.SubmitLink(t.Context(), "https://c2.example.test"); err != nil {
			t.Fatal(err)
		}

		got, err := client.URLReport(t.Context(), "https://c2.example.test")
		if err != nil {
			t.Fatal(err)
		}

		var report struct{ Type, Verdict, SHA256 string }
		if err := json.Unmarshal(got.Report, &report); err != nil {
			t.Fatal(err)
		}
		if report.Type != "wf-report" || report.Verdict != "C2" || report.SHA256 != sha256Of("https://c2.example.test") {
			t.Errorf("got %+v", report)
		}
		if got.URLType != "original" || got.AnalysisTime.IsZero() {
			t.Errorf("type %q, time %v", got.URLType, got.AnalysisTime)
		}
	}
}

func TestURLReportIsReadInEachForm(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body, report string
		fails        bool
	}{
		"string":         {`{"success":true,"result":{"report":"{\"a\":1}"}}`, `{"a":1}`, false},
		"object":         {`{"success":"True","result":{"report":{"a":1},"analysis_time":7}}`, `{"a":1}`, false},
		"empty":          {`{"success":"","result":{"analysis_time":"","url_type":"","report":""}}`, "", true},
		"null":           {`{"result":{"report":null}}`, "", true},
		"none":           {`{}`, "", true},
		"string of null": {`{"result":{"report":"null"}}`, "", true},
		"string of text": {`{"result":{"report":"pending"}}`, "", true},
		"result is text": {`{"result":"pending"}`, "", true},
		"error":          {vendorError, "", true},
		"html":           {"<html/>", "", true},
		"nothing":        {"", "", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := wildfire.ParseURLReport([]byte(tt.body))
			if (err != nil) != tt.fails || string(got.Report) != tt.report {
				t.Errorf("got %s, %v", got.Report, err)
			}
		})
	}
}

func TestReportMAEC(t *testing.T) {
	t.Parallel()
	client, _ := start(t, wildfiretest.New(wildfiretest.WithDelay(0)))
	hash := submitForVerdict(t, client, "a.exe")
	got, err := client.ReportMAEC(t.Context(), hash)
	if err != nil || !strings.Contains(string(got), `"type":"package"`) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestDownloadsAreWritten(t *testing.T) {
	t.Parallel()
	client, _ := start(t, wildfiretest.New(wildfiretest.WithDelay(0)))
	hash := submitForVerdict(t, client, "a.exe")
	if _, err := client.SubmitLink(t.Context(), "https://example.test"); err != nil {
		t.Fatal(err)
	}

	var out bytes.Buffer
	tests := map[string]struct {
		fetch        func() (wildfire.Download, error)
		name, prefix string
	}{
		"sample": {func() (wildfire.Download, error) { return client.Sample(t.Context(), hash, &out) }, hash + ".exe.000", contents},
		"by MD5": {func() (wildfire.Download, error) { return client.Sample(t.Context(), md5Of(contents), &out) }, hash + ".exe.000", contents},
		"pdf":    {func() (wildfire.Download, error) { return client.ReportPDF(t.Context(), hash, &out) }, hash + ".pdf", "%PDF-"},
		"pcap":   {func() (wildfire.Download, error) { return client.PCAP(t.Context(), hash, 66, &out) }, hash + ".66.0.pcap", "\xd4\xc3\xb2\xa1"},
		"artifacts": {func() (wildfire.Download, error) {
			return client.WebArtifacts(t.Context(), "https://example.test", &out, wildfire.Screenshot, wildfire.DownloadFiles)
		}, sha256Of("https://example.test") + ".tgz", "\x1f\x8b"},
		"test file": {func() (wildfire.Download, error) { return client.TestFile(t.Context(), wildfire.TestELF, &out) }, "wildfire-test-elf-file", "\x7fELF"},
	}
	for name, tt := range tests {
		out.Reset()
		got, err := tt.fetch()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}

		want := wildfire.Download{Filename: tt.name, ContentType: "application/octet-stream", Size: int64(out.Len()), SHA256: sha256Of(out.String())}
		if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(out.String(), tt.prefix) {
			t.Errorf("%s (-want +got):\n%s%.40q", name, diff, out.String())
		}
	}

	if _, err := client.PCAP(t.Context(), hash, 5, io.Discard); !errors.Is(err, wildfire.ErrNotReady) {
		t.Errorf("capture of another platform: got %v", err)
	}
	if _, err := client.PCAP(t.Context(), hash, -1, io.Discard); !errors.Is(err, wildfire.ErrInvalidArgument) {
		t.Errorf("negative platform: got %v", err)
	}
	if _, err := client.TestFile(t.Context(), "floppy", io.Discard); !errors.Is(err, wildfire.ErrInvalidArgument) {
		t.Errorf("unknown test file: got %v", err)
	}
}

// TestTestFileIsFoundMalicious runs the vendor's end-to-end check.
func TestTestFileIsFoundMalicious(t *testing.T) {
	t.Parallel()
	client, _ := start(t, wildfiretest.New(wildfiretest.WithDelay(0)))
	var one, two bytes.Buffer
	for _, out := range []*bytes.Buffer{&one, &two} {
		if _, err := client.TestFile(t.Context(), wildfire.TestPE, out); err != nil {
			t.Fatal(err)
		}
	}

	if one.String() == two.String() {
		t.Error("two test files are the same")
	}

	got, err := client.SubmitFile(t.Context(), file("wildfire-test-pe-file.exe", one.String()))
	if err != nil {
		t.Fatal(err)
	}
	if record, err := client.Verdict(t.Context(), got.SHA256); err != nil || record.Verdict != wildfire.Malware {
		t.Errorf("got %v, %v; want malware", record.Verdict, err)
	}
}

func TestUnusableDownloadsAreErrors(t *testing.T) {
	t.Parallel()
	page := "<html><body>Forbidden. (403)</body></html>"
	octets := http.Header{"Content-Type": {"application/octet-stream"}}
	html := http.Header{"Content-Type": {"text/html"}}
	errBroken := errors.New("disk full")
	tests := map[string]struct {
		answer *answering
		hash   string
		w      io.Writer
		limit  int64
		want   error
	}{
		"other contents":                  {&answering{status: 200, body: "other", header: octets}, anyHash, io.Discard, 0, wildfire.ErrAnswer},
		"the sample is a page":            {&answering{status: 200, body: page, header: html}, sha256Of(page), io.Discard, 0, nil},
		"a page instead of the sample":    {&answering{status: 200, body: page, header: html}, anyHash, io.Discard, 0, wildfire.ErrAnswer},
		"an error instead of the sample":  {&answering{status: 200, body: vendorError}, anyHash, io.Discard, 0, wildfire.ErrRejected},
		"nothing yet":                     {&answering{status: 200, body: "<response/>"}, anyHash, io.Discard, 0, wildfire.ErrNotReady},
		"the sample is an error document": {&answering{status: 200, body: vendorError, header: octets}, sha256Of(vendorError), io.Discard, 0, nil},
		"at the limit":                    {&answering{status: 200, body: "12345"}, sha256Of("12345"), io.Discard, 5, nil},
		"over the limit":                  {&answering{status: 200, body: "123456"}, sha256Of("123456"), io.Discard, 5, wildfire.ErrDownloadLimit},
		"writer fails":                    {&answering{status: 200, body: "12345"}, sha256Of("12345"), failingWriter{errBroken}, 0, wildfire.ErrSink},
		"writer writes too little":        {&answering{status: 200, body: "12345"}, sha256Of("12345"), failingWriter{nil}, 0, wildfire.ErrSink},
		"partial":                         {&answering{status: 206, body: "12345"}, sha256Of("12345"), io.Discard, 0, wildfire.ErrUnexpectedStatus},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
				cfg.Transport, cfg.MaxDownload = tt.answer, tt.limit
			})
			_, err := c.Sample(t.Context(), tt.hash, tt.w)
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if w, ok := tt.w.(failingWriter); ok && w.err != nil && !errors.Is(err, w.err) {
				t.Errorf("got %v, want the writer's own error in it", err)
			}
		})
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestBrokenDownloadIsAnError(t *testing.T) {
	t.Parallel()
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: io.NopCloser(io.MultiReader(
				strings.NewReader("%PDF-1.4"), &failing{io.ErrUnexpectedEOF}))}, nil
		})
	})
	got, err := c.ReportPDF(t.Context(), anyHash, io.Discard)
	if !errors.Is(err, wildfire.ErrTransport) || !errors.Is(err, io.ErrUnexpectedEOF) || got.Size != 8 {
		t.Errorf("got %+v, %v; want ErrTransport after 8 bytes", got, err)
	}
}

func TestVerdictChangesAreRequested(t *testing.T) {
	t.Parallel()
	client, _ := start(t, wildfiretest.New(wildfiretest.WithDelay(0)))
	hash := submitForVerdict(t, client, "a.exe")
	if err := client.RequestVerdictChange(t.Context(), hash, wildfire.Malware, "a@example.test", "it bites"); err != nil {
		t.Error(err)
	}
	if err := client.RequestVerdictChange(t.Context(), hash, wildfire.Benign, "a@example.test", ""); !errors.Is(err, wildfire.ErrSameVerdict) {
		t.Errorf("got %v, want ErrSameVerdict", err)
	}

	now, ok, err := client.ChangeLocalVerdict(t.Context(), hash, wildfire.Malware, "it bites")
	if err != nil || !ok || now != wildfire.Malware {
		t.Errorf("got %v, %v, %v; want malware", now, ok, err)
	}
	if record, err := client.Verdict(t.Context(), hash); err != nil || record.Verdict != wildfire.Malware {
		t.Errorf("got %v, %v; want malware", record.Verdict, err)
	}

	for name, err := range map[string]error{
		"no e-mail":    client.RequestVerdictChange(t.Context(), hash, wildfire.Malware, "", ""),
		"MD5":          client.RequestVerdictChange(t.Context(), md5Of(contents), wildfire.Malware, "a@example.test", ""),
		"no hash":      client.RequestVerdictChange(t.Context(), "x", wildfire.Malware, "a@example.test", ""),
		"long comment": client.RequestVerdictChange(t.Context(), hash, wildfire.Malware, "a@example.test", strings.Repeat("x", 2049)),
	} {
		if !errors.Is(err, wildfire.ErrInvalidArgument) {
			t.Errorf("%s: got %v, want ErrInvalidArgument", name, err)
		}
	}
}

func TestUnreadableAnswerToAVerdictChangeIsNoError(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"<wildfire/>", "<wildfire><body>cut off", "<wildfire><body>done</body></wildfire>", "<wildfire><body>new verdict:x</body></wildfire>"} {
		c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
			cfg.Transport = &answering{status: 200, body: body}
		})
		if _, ok, err := c.ChangeLocalVerdict(t.Context(), anyHash, wildfire.Malware, ""); ok || err != nil {
			t.Errorf("%q: got %v, %v; want success without a verdict", body, ok, err)
		}
	}
}
