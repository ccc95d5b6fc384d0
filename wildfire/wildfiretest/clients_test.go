package wildfiretest_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// answer is an answer to any client.
type answer struct {
	status      int
	contentType string
	filename    string
	body        []byte
}

// post sends a request as it is.
func post(t *testing.T, url, contentType, body string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}

	_, params, _ := mime.ParseMediaType(response.Header.Get("Content-Disposition"))
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))

	return answer{response.StatusCode, media, params["filename"], content}
}

// fields finds the texts of all elements with a name, in strict XML.
func fields(t *testing.T, body []byte, name string) []string {
	t.Helper()
	var texts []string
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, body)
		}

		if start, ok := token.(xml.StartElement); ok && start.Name.Local == name {
			var text string
			if err := decoder.DecodeElement(&text, &start); err != nil {
				t.Fatal(err)
			}

			texts = append(texts, text)
		}
	}
}

const urlencoded = "application/x-www-form-urlencoded"

// panBoundary is a boundary of pan-python: underscores and base64, longer than the 70 characters of
// RFC 2046, and not quoted.
const panBoundary = "________________q83vEjRWeJCrze8SNFZ4/+vN7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ"

// panForm is a form as pan-python writes it: without a line break behind the last boundary.
func panForm(parts ...string) (contentType, body string) {
	for _, part := range parts {
		body += "--" + panBoundary + "\r\n" + part + "\r\n"
	}

	return "multipart/form-data; boundary=" + panBoundary, body + "--" + panBoundary + "--"
}

func panField(name, value string) string {
	return `Content-Disposition: form-data; name="` + name + "\"\r\n\r\n" + value
}

func panFile(name, contents string) string {
	return `Content-Disposition: form-data; name="file"; filename="` + name + "\"\r\nContent-Type: application/octet-stream\r\n\r\n" + contents
}

// TestFormsOfPanPythonAreAccepted: forms as pan-python writes them are accepted.
func TestFormsOfPanPythonAreAccepted(t *testing.T) {
	t.Parallel()
	_, web := start(t, wildfiretest.WithAPIKey("key"), wildfiretest.WithDelay(0))
	key := panField("apikey", "key")
	tests := map[string]struct {
		path   string
		parts  []string
		status int
		field  string // an element of the answer
		want   []string
	}{
		"file":          {"submit/file", []string{key, panFile("wildfire-tempfile.js", "x")}, 200, "sha256", []string{sha("x")}},
		"URL":           {"submit/url", []string{key, panField("url", "https://example.test/a.exe")}, 200, "filename", []string{""}},
		"link":          {"submit/link", []string{key, panField("link", "foo")}, 200, "url", []string{"http://foo"}},
		"upper case":    {"submit/link", []string{key, panField("link", "HTTP://a")}, 200, "url", []string{"HTTP://a"}},
		"blank link":    {"submit/link", []string{key, panField("link", " ")}, 200, "sha256", []string{sha("http:// ")}},
		"NUL as a link": {"submit/link", []string{key, panField("link", "\x00")}, 200, "sha256", []string{sha("http://\x00")}},
		"links":         {"submit/links", []string{key, panFile("pan", "panlnk\nhttp://a\nb")}, 200, "url", []string{"http://a", "http://b"}},
		"no link": {
			"submit/link",
			[]string{key, panField("link", "")},
			421, "error-message",
			[]string{"'Invalid webpage type url, url should start with http or https'"},
		},
		"link of another scheme": {
			"submit/link",
			[]string{key, panField("link", "sftp://foo")},
			421, "error-message",
			[]string{"'Invalid webpage type url, url should start with http or https'"},
		},
		"hashes":       {"get/verdicts", []string{key, panField("file", sha("x")+"\n"+sha("y"))}, 200, "sha256", []string{sha("x"), sha("y")}},
		"bad hash":     {"get/verdicts", []string{key, panField("file", "7")}, 200, "verdict", []string{"-103"}},
		"no hashes":    {"get/verdicts", []string{key, panField("file", "")}, 422, "error-message", []string{"'Unprocessable Entities'"}},
		"no list":      {"get/verdicts", []string{key}, 420, "error-message", []string{"'Missing required field file'"}},
		"unsupported":  {"submit/file", []string{key, panFile("unsupported.txt", "y")}, 418, "error-message", []string{"'Unsupport File type'"}},
		"no file name": {"submit/links", []string{key, panField("file", "panlnk\nhttp://a")}, 418, "error-message", []string{"'Unsupport File type'"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			contentType, body := panForm(tt.parts...)
			got := post(t, web.URL+"/publicapi/"+tt.path, contentType, body)
			if texts := fields(t, got.body, tt.field); got.status != tt.status || !slices.Equal(texts, tt.want) {
				t.Errorf("got %d, %s %q; want %d, %q\n%s", got.status, tt.field, texts, tt.status, tt.want, got.body)
			}
		})
	}
}

// TestQueriesOfPanPythonAreAccepted sends urlencoded queries.
func TestQueriesOfPanPythonAreAccepted(t *testing.T) {
	t.Parallel()
	_, web := start(t, wildfiretest.WithAPIKey("key"))
	tests := map[string]struct {
		path, query string
		status      int
		want        string
	}{
		"no hash":  {"get/verdict", "", 420, "'Missing required field'"},
		"bad hash": {"get/verdict", "hash=x-invalid", 421, "'invalid hash value'"},
		"no date":  {"get/verdicts/changed", "", 420, "'Missing required field date'"},
		"tomorrow": {
			"get/verdicts/changed", "date=" + time.Now().AddDate(0, 0, 2).Format(time.DateOnly), 403,
			"'Invalid Date (longer than 30 days from now or newer than now)'",
		},
		"long ago": {
			"get/verdicts/changed", "date=2001-01-01", 403,
			"'Invalid Date (longer than 30 days from now or newer than now)'",
		},
		"artifacts of none":    {"get/webartifacts", "", 420, "'Missing required field url'"},
		"artifacts of nothing": {"get/webartifacts", "url=", 421, "'Invalid url'"},
		"unknown artifacts":    {"get/webartifacts", "url=0.0.0.0.0", 404, "'Not Found'"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := post(t, web.URL+"/publicapi/"+tt.path, urlencoded, "apikey=key&"+tt.query)
			if texts := fields(t, got.body, "error-message"); got.status != tt.status || !slices.Equal(texts, []string{tt.want}) {
				t.Errorf("got %d, %q; want %d, %q", got.status, texts, tt.status, tt.want)
			}
		})
	}
}

// TestFieldsInTheURLAreAccepted: fields in the URL count like those in the form, whatever its
// encoding.
func TestFieldsInTheURLAreAccepted(t *testing.T) {
	t.Parallel()
	_, web := start(t, wildfiretest.WithAPIKey("key"), wildfiretest.WithDelay(0))
	contentType, none := panForm()
	_, upload := panForm(panFile("a.exe", "MZ"))
	tests := map[string]struct{ path, contentType, body string }{
		"multipart":  {"get/verdict?apikey=key&hash=" + sha("MZ"), contentType, none},
		"urlencoded": {"get/verdict?apikey=key&hash=" + sha("MZ"), urlencoded, ""},
		"half":       {"get/verdict?hash=" + sha("MZ"), urlencoded, "apikey=key"},
		"upload":     {"submit/file?apikey=key", contentType, upload},
		"no body":    {"get/verdict?apikey=key&hash=" + sha("MZ"), contentType, ""},
		"with agent": {"get/report?apikey=key&agent=xsoartim&hash=" + sha(""), contentType, none},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := post(t, web.URL+"/publicapi/"+tt.path, tt.contentType, tt.body); got.status != http.StatusOK {
				t.Errorf("got %d: %s", got.status, got.body)
			}
		})
	}

	if got := post(t, web.URL+"/publicapi/submit/file?apikey=other", contentType, upload); got.status != http.StatusUnauthorized {
		t.Errorf("another key: got %d", got.status)
	}
}

// TestRefusalOfALargeFileArrives: a client that reads the answer only after it has sent everything,
// like those of Python, gets it.
func TestRefusalOfALargeFileArrives(t *testing.T) {
	t.Parallel()
	const size = 24 << 20 // more than the sockets buffer
	_, web := start(t, wildfiretest.WithAPIKey("key"), wildfiretest.WithMaxFileSize(1<<20))
	contentType, form := panForm(panFile("a.exe", strings.Repeat("x", size)))
	for path, want := range map[string]string{
		"submit/file?apikey=key":   "413",
		"submit/file?apikey=other": "401",
		"submit/none":              "404",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", web.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()

			if _, err := fmt.Fprintf(conn, "POST /publicapi/%s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
				path, contentType, len(form), form); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+want) {
				t.Errorf("got %q, %v; want %s", line, err, want)
			}
		})
	}
}

// TestInvalidBoundariesAreRefused: submissions with invalid boundaries are an unsupported media
// type.
func TestInvalidBoundariesAreRefused(t *testing.T) {
	t.Parallel()
	_, web := start(t)
	for contentType, want := range map[string]int{
		`multipart/form-data; boundary="a/b="`:              200,
		`multipart/form-data; boundary=a/b=`:                200,
		`Multipart/Form-Data; charset=utf-8; BOUNDARY=a/b=`: 200,
		`multipart/form-data; boundary=`:                    415,
		`multipart/form-data`:                               415,
		`multipart/mixed; boundary=a/b=`:                    415,
		`text/plain; boundary=a/b=`:                         415,
		``:                                                  415,
	} {
		body := strings.ReplaceAll("--B\r\n"+panField("apikey", "key")+"\r\n--B\r\n"+panField("link", "http://a")+"\r\n--B--", "B", "a/b=")
		if got := post(t, web.URL+"/publicapi/submit/link", contentType, body); got.status != want {
			t.Errorf("%s: got %d, want %d", contentType, got.status, want)
		}
	}
}

// TestBuiltinSamplesAreKnown: samples that tests of public clients rely on are known without a
// submission.
func TestBuiltinSamplesAreKnown(t *testing.T) {
	t.Parallel()
	_, web := start(t)
	c := client(t, web.URL, "t")
	const hello = "document.write('Hello, World!');\n"
	for _, hash := range []string{sha(""), sha(hello)} {
		if verdict := verdictOf(t, c, hash); verdict != wildfire.Benign {
			t.Errorf("%s: got %v", hash, verdict)
		}
	}

	if _, err := c.SubmitFile(t.Context(), file("hello.js", hello)); err != nil {
		t.Fatal(err)
	}
	if verdict := verdictOf(t, c, sha(hello)); verdict != wildfire.Benign {
		t.Errorf("submitted again: got %v, want the verdict at once", verdict)
	}
	if _, err := c.Verdict(t.Context(), "d41d8cd98f00b204e9800998ecf8427e"); !errors.Is(err, wildfire.ErrAmbiguous) {
		t.Errorf("MD5 of empty contents: got %v, want ErrAmbiguous", err)
	}
}

// TestBuiltinURLsAreKnown: these URLs are known without a submission, with report and artifacts.
func TestBuiltinURLsAreKnown(t *testing.T) {
	t.Parallel()
	_, web := start(t)
	c := client(t, web.URL, "t")
	verdicts := map[string]wildfire.Verdict{
		"https://www.google.com": wildfire.Benign,
		"http://1400/":           wildfire.Benign,
		"http://1401/":           wildfire.Malware,
		"http://1402/":           wildfire.Grayware,
		"http://1403/":           wildfire.Phishing,
		"http://1404/":           wildfire.C2,
		"http://1405/":           wildfire.Unknown,
		"https://example.test":   wildfire.Unknown,
	}
	for link, want := range verdicts {
		record, err := c.URLVerdict(t.Context(), link)
		if err != nil || record.Verdict != want {
			t.Errorf("%s: got %v, %v; want %v", link, record.Verdict, err, want)
		}

		report, err := c.URLReport(t.Context(), link)
		if want == wildfire.Unknown {
			if !errors.Is(err, wildfire.ErrNotReady) {
				t.Errorf("%s: got %v, want no report", link, err)
			}

			continue
		}

		if err != nil {
			t.Errorf("%s: %v", link, err)
			continue
		}

		var document struct {
			Type    string
			Verdict string
			Version string `json:"schema_version"`
		}
		if err := json.Unmarshal(report.Report, &document); err != nil {
			t.Fatal(err)
		}
		if !strings.EqualFold(document.Verdict, want.String()) || document.Type != "wf-report" || document.Version != "1.0" {
			t.Errorf("%s: got %+v", link, document)
		}
	}
}

// TestArtifactsHaveAFolderForEachKind: the archive has a folder for each requested kind.
func TestArtifactsHaveAFolderForEachKind(t *testing.T) {
	t.Parallel()
	_, web := start(t)
	for types, want := range map[string][]string{
		"":                             {"screenshot", "download_files"},
		"screenshot":                   {"screenshot"},
		"download_files":               {"download_files"},
		"download_files,%20screenshot": {"download_files", "screenshot"},
	} {
		got := post(t, web.URL+"/publicapi/get/webartifacts", urlencoded, "apikey=k&url=https://www.google.com&types="+types)
		if got.status != 200 || got.filename != sha("https://www.google.com")+".tgz" {
			t.Fatalf("got %d, %q", got.status, got.filename)
		}

		unzipped, err := gzip.NewReader(bytes.NewReader(got.body))
		if err != nil {
			t.Fatal(err)
		}

		var folders []string
		for archive := tar.NewReader(unzipped); ; {
			header, err := archive.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if header.Typeflag == tar.TypeDir {
				folders = append(folders, strings.TrimSuffix(header.Name, "/"))
			}
		}

		if !slices.Equal(folders, want) {
			t.Errorf("%q: got %q, want %q", types, folders, want)
		}
	}
}

// TestDownloadsHaveTheNamesOfTheService: file names are those in public samples.
func TestDownloadsHaveTheNamesOfTheService(t *testing.T) {
	t.Parallel()
	_, web := start(t, wildfiretest.WithDelay(0))
	c := client(t, web.URL, "t")
	for _, name := range []string{"a.exe", "noextension"} {
		if _, err := c.SubmitFile(t.Context(), file(name, "contents of "+name)); err != nil {
			t.Fatal(err)
		}
	}

	exe, plain := sha("contents of a.exe"), sha("contents of noextension")
	for query, want := range map[string]string{
		"get/sample hash=" + exe:            exe + ".exe.000",
		"get/sample hash=" + plain:          plain,
		"get/report format=pdf&hash=" + exe: exe + ".pdf",
		"get/pcap hash=" + exe:              exe + ".66.0.pcap",
		"test/pe ":                          "wildfire-test-pe-file.exe",
		"test/elf ":                         "wildfire-test-elf-file",
	} {
		path, form, _ := strings.Cut(query, " ")
		if got := post(t, web.URL+"/publicapi/"+path, urlencoded, "apikey=k&"+form); got.status != 200 || got.filename != want {
			t.Errorf("%s: got %d, %q; want %q", query, got.status, got.filename, want)
		}
	}
}

// TestTestFileIsSubmittedByItsURL submits the service's test file by its URL.
func TestTestFileIsSubmittedByItsURL(t *testing.T) {
	t.Parallel()
	_, web := start(t, wildfiretest.WithDelay(0))
	c := client(t, web.URL, "t")
	got, err := c.SubmitURL(t.Context(), "https://wildfire.paloaltonetworks.com/publicapi/test/pe", "")
	if err != nil {
		t.Fatal(err)
	}
	if verdict := verdictOf(t, c, got.SHA256); verdict != wildfire.Malware || got.Filename != "" {
		t.Errorf("got %+v, %v", got, verdict)
	}
	download, err := c.Sample(t.Context(), got.SHA256, io.Discard)
	if err != nil || download.Filename != got.SHA256+".exe.000" {
		t.Errorf("got %+v, %v", download, err)
	}
}

// TestHTTPSOnlyRedirectsUnencryptedRequests: unencrypted requests are redirected, except those for
// test files.
func TestHTTPSOnlyRedirectsUnencryptedRequests(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithHTTPSOnly())
	if got := post(t, web.URL+"/publicapi/get/verdict", urlencoded, "hash="+sha("x")); got.status != http.StatusFound {
		t.Errorf("got %d, want 302", got.status)
	}
	if _, err := client(t, web.URL, "t").Verdict(t.Context(), sha("x")); !errors.Is(err, wildfire.ErrRedirect) {
		t.Errorf("got %v, want ErrRedirect", err)
	}
	if got := post(t, web.URL+"/publicapi/test/pe", urlencoded, ""); got.status != http.StatusOK {
		t.Errorf("test file: got %d", got.status)
	}

	secure := server.StartTLS()
	t.Cleanup(secure.Close)
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL, cfg.Transport = secure.URL, secure.Client().Transport
	c, err := wildfire.New(cfg, wildfire.StaticToken("t"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verdict(t.Context(), sha("x")); err != nil {
		t.Errorf("by TLS: %v", err)
	}
}

// TestReportOfMalwareHasItsIndicators: the report about a malicious sample has the data of
// IndicatorsOf; that about a benign one has none of it.
func TestReportOfMalwareHasItsIndicators(t *testing.T) {
	t.Parallel()
	_, web := start(t, wildfiretest.WithDelay(0))
	c := client(t, web.URL, "t")
	malicious := map[string]wildfire.Verdict{
		"malware.exe": wildfire.Malware, "grayware.pdf": wildfire.Grayware, "c2.js": wildfire.Malware,
	}
	for name, want := range malicious {
		got, err := c.SubmitFile(t.Context(), file(name, "contents of "+name))
		if err != nil {
			t.Fatal(err)
		}

		report, err := c.Report(t.Context(), strings.ToUpper(got.SHA256))
		if err != nil {
			t.Fatal(err)
		}

		found := wildfiretest.IndicatorsOf(got.SHA256)
		if verdict, ok := report.Verdict(); !ok || verdict != want {
			t.Errorf("%s: got %v, want %v", name, verdict, want)
		}
		if !slices.Equal(report.Domains, []string{found.Domain}) || !slices.Equal(report.IPs, []string{found.IP}) || !slices.Equal(report.URLs, []string{found.URL}) {
			t.Errorf("%s: got %q, %q, %q; want %+v", name, report.Domains, report.IPs, report.URLs, found)
		}
		if len(report.Dropped) != 1 || report.Dropped[0].SHA256 != found.DroppedSHA256 {
			t.Errorf("%s: got %+v, want %s", name, report.Dropped, found.DroppedSHA256)
		}
	}

	if wildfiretest.IndicatorsOf(sha("a")) == wildfiretest.IndicatorsOf(sha("b")) {
		t.Error("two samples have the same indicators")
	}

	got, err := c.SubmitFile(t.Context(), file("letter.pdf", "%PDF-1.4"))
	if err != nil {
		t.Fatal(err)
	}

	report, err := c.Report(t.Context(), got.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if verdict, ok := report.Verdict(); !ok || verdict != wildfire.Benign || report.Filetype != "PDF" || report.Dropped != nil || report.URLs != nil {
		t.Errorf("benign: got %+v", report)
	}
}

// TestReportComesAfterItsVerdict: a report comes after its verdict.
func TestReportComesAfterItsVerdict(t *testing.T) {
	t.Parallel()
	clock := wildfiretest.NewClock(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	_, web := start(t, wildfiretest.WithNow(clock.Now), wildfiretest.WithDelay(time.Minute), wildfiretest.WithReportLag(time.Minute))
	c := client(t, web.URL, "t")
	got, err := c.SubmitFile(t.Context(), file("malware.exe", "MZ"))
	if err != nil {
		t.Fatal(err)
	}

	for range 2 {
		clock.Advance(59 * time.Second)
		if _, err := c.Report(t.Context(), got.SHA256); !errors.Is(err, wildfire.ErrNotReady) {
			t.Errorf("at %v: got %v, want ErrNotReady", clock.Now().Format(time.TimeOnly), err)
		}
	}

	if verdict := verdictOf(t, c, got.SHA256); verdict != wildfire.Malware {
		t.Errorf("got %v before the report", verdict)
	}

	clock.Advance(2 * time.Second)
	if _, err := c.Report(t.Context(), got.SHA256); err != nil {
		t.Error(err)
	}
}

// TestMissingReportIsNotFound: a report that expired or never existed is not found, in every
// format.
func TestMissingReportIsNotFound(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithDelay(0))
	c := client(t, web.URL, "t")
	got, err := c.SubmitFile(t.Context(), file("reportless.exe", "MZ"))
	if err != nil {
		t.Fatal(err)
	}

	if verdict := verdictOf(t, c, got.SHA256); verdict != wildfire.Malware {
		t.Errorf("got %v", verdict)
	}
	if _, err := c.Report(t.Context(), got.SHA256); !errors.Is(err, wildfire.ErrNotReady) {
		t.Errorf("report: %v", err)
	}
	if _, err := c.ReportPDF(t.Context(), got.SHA256, io.Discard); !errors.Is(err, wildfire.ErrNotReady) {
		t.Errorf("PDF: %v", err)
	}
	if _, err := c.PCAP(t.Context(), got.SHA256, 0, io.Discard); !errors.Is(err, wildfire.ErrNotReady) {
		t.Errorf("capture: %v", err)
	}

	asked := 0
	for _, call := range server.Calls() {
		if call.SHA256 == got.SHA256 && (call.Op == wildfire.OpReport || call.Op == wildfire.OpPCAP) {
			asked++
		}
	}

	if asked != 3 {
		t.Errorf("%d calls are known by their hash, want 3", asked)
	}
}
