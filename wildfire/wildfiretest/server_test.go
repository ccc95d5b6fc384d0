package wildfiretest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func start(t *testing.T, opts ...wildfiretest.Option) (*wildfiretest.Server, *httptest.Server) {
	t.Helper()
	server := wildfiretest.New(opts...)
	web := server.Start()
	t.Cleanup(web.Close)

	return server, web
}

func client(t *testing.T, base, token string) *wildfire.Client {
	t.Helper()
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = base
	c, err := wildfire.New(cfg, wildfire.StaticToken(token))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)

	return c
}

func file(name, contents string) wildfire.File {
	return wildfire.File{
		Name: name, Size: int64(len(contents)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(contents)), nil },
	}
}

func sha(contents string) string {
	sum := sha256.Sum256([]byte(contents))
	return hex.EncodeToString(sum[:])
}

// verdictOf asks for one verdict.
func verdictOf(t *testing.T, c *wildfire.Client, hash string) wildfire.Verdict {
	t.Helper()
	record, err := c.Verdict(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}

	return record.Verdict
}

// TestMarkersDecideTheResult checks every marker in MarkerHelp, in names and in contents.
func TestMarkersDecideTheResult(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		verdict wildfire.Verdict
		err     error
	}{
		{"invoice.pdf", wildfire.Benign, nil},
		{"mymalware1.exe", wildfire.Malware, nil},
		{"MALWARE.EXE", wildfire.Malware, nil},
		{"eicar.com", wildfire.Malware, nil},
		{"grayware.exe", wildfire.Grayware, nil},
		{"phishing-mail.html", wildfire.Phishing, nil},
		{"c2.exe", wildfire.C2, nil},
		{"sample-c2-beacon.bin", wildfire.C2, nil},
		{"error.exe", wildfire.AnalysisError, nil},
		{"terror.pdf", wildfire.Benign, nil},
		{"error17.exe", wildfire.AnalysisError, nil},
		{"flawed.exe", wildfire.Flawed, nil},
		{"odd.exe", 99, nil},
		{"never.exe", wildfire.Pending, nil},
		{"lost.exe", wildfire.Unknown, nil},
		{"reportless.exe", wildfire.Malware, nil},
		{"unsupported.txt", 0, wildfire.ErrUnsupportedType},
		{"unprocessable.zip", 0, wildfire.ErrUnprocessable},
		{"toolarge.iso", 0, wildfire.ErrTooLarge},
		{"forbidden.exe", 0, wildfire.ErrForbidden},
		{"unstorable.exe", 0, wildfire.ErrUploadFailed},
		{"busy.exe", 0, wildfire.ErrUnavailable},
		{"throttled.exe", 0, wildfire.ErrTooManyRequests},
		{"flaky.exe", 0, wildfire.ErrServer},
		{"unanswered.exe", 0, wildfire.ErrTransport},
		{"altered.exe", 0, wildfire.ErrAnswerMismatch},
	}
	_, web := start(t, wildfiretest.WithDelay(0), wildfiretest.WithUnknownFor(0))
	c := client(t, web.URL, "t")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := c.SubmitFile(t.Context(), file(tt.name, "contents of "+tt.name))
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("got %v, want %v", err, tt.err)
			}

			if err == nil {
				if verdict := verdictOf(t, c, got.SHA256); verdict != tt.verdict {
					t.Errorf("got %v, want %v", verdict, tt.verdict)
				}
			}
		})
	}

	for contents, want := range map[string]wildfire.Verdict{
		"MZ … wildfire-test:grayware …":                     wildfire.Grayware,
		"wildfire-test:c2":                                  wildfire.C2,
		"wildfire-test:nothing":                             wildfire.Benign,
		`X5O!P%@AP$` + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE": wildfire.Malware,
		strings.Repeat(" ", 5000) + "wildfire-test:c2":      wildfire.Benign, // beyond the part that is searched
	} {
		got, err := c.SubmitFile(t.Context(), file("letter.bin", contents))
		if err != nil {
			t.Fatal(err)
		}
		if verdict := verdictOf(t, c, got.SHA256); verdict != want {
			t.Errorf("%.40q: got %v, want %v", contents, verdict, want)
		}
	}

	for marker := range strings.FieldsSeq("malware grayware phishing c2 eicar error flawed odd never lost flip reportless unsupported unprocessable toolarge forbidden unstorable busy throttled flaky unanswered garbled altered wildfire-test:") {
		if !strings.Contains(wildfiretest.MarkerHelp, marker) {
			t.Errorf("MarkerHelp does not explain %q", marker)
		}
	}
}

// TestTemporaryFaultsAffectTheFirstSubmission: these faults affect only the first submission.
func TestTemporaryFaultsAffectTheFirstSubmission(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithDelay(0))
	c := client(t, web.URL, "t")
	for _, name := range []string{"busy.exe", "throttled.exe", "flaky.exe"} {
		contents := "contents of " + name
		if _, err := c.SubmitFile(t.Context(), file(name, contents)); err == nil {
			t.Errorf("%s: the first submission was accepted", name)
		}
		if verdict := verdictOf(t, c, sha(contents)); verdict != wildfire.Unknown {
			t.Errorf("%s: %v, although it was refused", name, verdict)
		}
		if n := server.UploadCount(sha(contents)); n != 0 {
			t.Errorf("%s: %d uploads were counted", name, n)
		}
		if _, err := c.SubmitFile(t.Context(), file(name, contents)); err != nil {
			t.Errorf("%s: the second: %v", name, err)
		}
		if verdict := verdictOf(t, c, sha(contents)); verdict != wildfire.Benign {
			t.Errorf("%s: %v, want benign", name, verdict)
		}
	}
}

func TestUnansweredSubmissionIsCounted(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithDelay(0), wildfiretest.WithQuota(5, 0))
	c := client(t, web.URL, "t")
	if _, err := c.SubmitFile(t.Context(), file("unanswered.exe", "x")); !errors.Is(err, wildfire.ErrTransport) {
		t.Fatalf("got %v, want ErrTransport", err)
	}
	if verdict := verdictOf(t, c, sha("x")); verdict != wildfire.Benign {
		t.Errorf("got %v, want benign: it was accepted", verdict)
	}
	if uploads, _ := server.Spent("t"); uploads != 1 || server.UploadCount(strings.ToUpper(sha("x"))) != 1 {
		t.Errorf("%d uploads spent, %d counted; want 1", uploads, server.UploadCount(sha("x")))
	}
}

func TestQuotasAreEnforced(t *testing.T) {
	t.Parallel()
	clock := wildfiretest.NewClock(time.Date(2026, 11, 21, 23, 50, 0, 0, time.UTC))
	server, web := start(t, wildfiretest.WithNow(clock.Now), wildfiretest.WithDelay(0),
		wildfiretest.WithQuota(2, 3), wildfiretest.WithResetLag(time.Minute))
	c := client(t, web.URL, "t")
	submit := func(i int) error {
		_, err := c.SubmitFile(t.Context(), file("a.exe", fmt.Sprint(i)))
		return err
	}
	ask := func() error { _, err := c.Verdicts(t.Context(), []string{sha("1"), sha("2")}); return err }

	for i := range 2 {
		if err := submit(i); err != nil {
			t.Fatal(err)
		}
	}

	if err := submit(3); !errors.Is(err, wildfire.ErrUploadQuota) {
		t.Errorf("third upload: got %v", err)
	}

	for range 3 { // one query, however many hashes
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}

	if err := ask(); !errors.Is(err, wildfire.ErrQueryQuota) {
		t.Errorf("fourth query: got %v", err)
	}
	if uploads, queries := server.Spent("t"); uploads != 2 || queries != 3 {
		t.Errorf("spent %d and %d, want 2 and 3", uploads, queries)
	}
	if _, err := client(t, web.URL, "another").SubmitFile(t.Context(), file("a.exe", "x")); err != nil {
		t.Errorf("another credential: %v", err)
	}

	clock.Set(time.Date(2026, 11, 22, 0, 0, 30, 0, time.UTC))
	if err := submit(4); !errors.Is(err, wildfire.ErrUploadQuota) {
		t.Errorf("half a minute after midnight: got %v", err)
	}

	clock.Set(time.Date(2026, 11, 22, 0, 1, 0, 0, time.UTC))
	if err := submit(5); err != nil {
		t.Errorf("a minute after midnight: %v", err)
	}

	server.SetQuota(0, 0)
	for i := range 3 {
		if err := submit(10 + i); err != nil {
			t.Errorf("without a quota: %v", err)
		}
	}
}

// TestOneOfTwoConcurrentUploadsGetsTheLastOfTheQuota: of two concurrent uploads only one gets the
// last upload of the quota.
func TestOneOfTwoConcurrentUploadsGetsTheLastOfTheQuota(t *testing.T) {
	t.Parallel()
	var both sync.WaitGroup
	both.Add(2)
	_, web := start(t, wildfiretest.WithQuota(1, 0), wildfiretest.WithPlan(func(wildfiretest.Sample) (wildfiretest.Plan, bool) {
		both.Done()
		both.Wait()

		return wildfiretest.Plan{}, true
	}))
	c := client(t, web.URL, "t")
	failures := make(chan error, 2)
	for _, contents := range []string{"one", "two"} {
		go func() {
			_, err := c.SubmitFile(context.Background(), file("a.exe", contents))
			failures <- err
		}()
	}

	one, two := <-failures, <-failures
	if (one == nil) == (two == nil) || !errors.Is(errors.Join(one, two), wildfire.ErrUploadQuota) {
		t.Errorf("got %v and %v, want one success and one ErrUploadQuota", one, two)
	}
}

// TestRefusedCallsDoNotCount: refused calls are not counted.
func TestRefusedCallsDoNotCount(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithDelay(0), wildfiretest.WithQuota(5, 5))
	c := client(t, web.URL, "t")
	for _, name := range []string{"unsupported.txt", "unprocessable.txt", "unstorable.txt", "toolarge.txt"} {
		_, _ = c.SubmitFile(t.Context(), file(name, name))
	}
	_, _ = c.Report(t.Context(), sha("nothing"))
	if uploads, queries := server.Spent("t"); uploads != 0 || queries != 0 {
		t.Errorf("spent %d and %d, want nothing", uploads, queries)
	}
}

func TestRegionsDoNotShareSamples(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithDelay(0), wildfiretest.WithQuota(2, 0))
	us, eu := client(t, web.URL, "t"), client(t, web.URL+"/eu", "t")
	if _, err := eu.SubmitFile(t.Context(), file("malware.exe", "x")); err != nil {
		t.Fatal(err)
	}
	if verdict := verdictOf(t, us, sha("x")); verdict != wildfire.Unknown {
		t.Errorf("in another region: %v, want unknown", verdict)
	}
	if verdict := verdictOf(t, eu, sha("x")); verdict != wildfire.Malware {
		t.Errorf("where it was submitted it is %v, want malware", verdict)
	}
	if _, err := us.SubmitFile(t.Context(), file("malware.exe", "x")); err != nil {
		t.Fatal(err)
	}
	if n := server.UploadCount(sha("x")); n != 2 {
		t.Errorf("%d uploads in all regions, want 2", n)
	}
	if _, err := eu.SubmitFile(t.Context(), file("a.exe", "y")); !errors.Is(err, wildfire.ErrUploadQuota) {
		t.Errorf("got %v; regions share the quota", err)
	}

	server.Know(wildfiretest.Known{Region: "jp", SHA256: sha("z"), Verdict: wildfire.C2})
	request := httptest.NewRequest(http.MethodPost, "https://jp.wildfire.example.test/publicapi/get/verdict", strings.NewReader("hash="+sha("z")))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", "Bearer t")
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, request)
	if !strings.Contains(answer.Body.String(), "<verdict>5</verdict>") {
		t.Errorf("by host: got %s", answer.Body)
	}
}

// TestAnswersHaveTheVendorsReasonPhrases reads the status lines off the wire, all on one
// connection.
func TestAnswersHaveTheVendorsReasonPhrases(t *testing.T) {
	t.Parallel()
	server, web := start(t)
	conn, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	body := "hash=" + sha("x")
	for status, want := range map[int]string{
		200: "HTTP/1.1 200 OK", 401: "HTTP/1.1 401 Invalid API key", 418: "HTTP/1.1 418 Unsupport File Type",
		419: "HTTP/1.1 419 Quota Exceeded", 420: "HTTP/1.1 420 Insufficient Arguments", 421: "HTTP/1.1 421 Invalid Argument",
		456: "HTTP/1.1 456 Invalid request", 503: "HTTP/1.1 503 Network Issue", 513: "HTTP/1.1 513 File Uploaded Failed",
	} {
		remove := func() {}
		if status != 200 {
			remove = server.Inject(wildfiretest.Rule{Fault: wildfiretest.Fault{Status: status}})
		}

		_, _ = fmt.Fprintf(conn, "POST /publicapi/get/verdict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n"+
			"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		line, err := reader.ReadString('\n')
		if err != nil || strings.TrimSpace(line) != want {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}

		answer, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(line), reader)), nil)
		if err != nil {
			t.Fatal(err)
		}

		answer.Body.Close()
		remove()
		// The reader may have buffered the body, so use a new one for the next request.
		reader = bufio.NewReader(conn)
	}
}

func TestReasonPhrasesCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	_, web := start(t, wildfiretest.WithPhrases(false), wildfiretest.WithAuth())
	answer, err := http.Post(web.URL+"/publicapi/get/verdict", "application/x-www-form-urlencoded", strings.NewReader("hash="+sha("x")))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if answer.Status != "401 Unauthorized" {
		t.Errorf("got %q", answer.Status)
	}
}

// ask sends a form by hand, for requests that the client would not make.
func ask(t *testing.T, web *httptest.Server, method, path, contentType, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, web.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer t")
	answer, err := web.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}

	return answer.StatusCode, string(text)
}

// multi returns a multipart form with one part, which is a file if filename is set.
func multi(t *testing.T, name, filename, text string) (contentType, body string) {
	t.Helper()
	var out bytes.Buffer
	form := multipart.NewWriter(&out)
	var part io.Writer
	var err error
	if filename != "" {
		part, err = form.CreateFormFile(name, filename)
	} else {
		part, err = form.CreateFormField(name)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(part, text)
	_ = form.Close()

	return form.FormDataContentType(), out.String()
}

func TestInvalidRequestsAreRefused(t *testing.T) {
	t.Parallel()
	const urlencoded = "application/x-www-form-urlencoded"
	_, web := start(t, wildfiretest.WithDelay(0), wildfiretest.WithMaxFileSize(10))
	list := func(name, filename, text string) [2]string {
		contentType, body := multi(t, name, filename, text)
		return [2]string{contentType, body}
	}
	plain := func(body string) [2]string { return [2]string{urlencoded, body} }
	tests := map[string]struct {
		method, path string
		form         [2]string
		status       int
	}{
		"GET":                        {"GET", "/publicapi/get/sample", plain(""), 405},
		"PUT":                        {"PUT", "/publicapi/submit/file", plain(""), 405},
		"unknown path":               {"POST", "/publicapi/submit/nothing", plain(""), 404},
		"outside the API":            {"POST", "/elsewhere", plain(""), 404},
		"trailing slash":             {"POST", "/publicapi/get/verdict/", plain("hash=" + sha("x")), 200},
		"upload urlencoded":          {"POST", "/publicapi/submit/file", plain("file=x"), 415},
		"link urlencoded":            {"POST", "/publicapi/submit/link", plain("link=x"), 415},
		"no file":                    {"POST", "/publicapi/submit/file", list("other", "", "x"), 420},
		"empty file":                 {"POST", "/publicapi/submit/file", list("file", "a.exe", ""), 513},
		"10 bytes":                   {"POST", "/publicapi/submit/file", list("file", "a.exe", "0123456789"), 200},
		"11 bytes":                   {"POST", "/publicapi/submit/file", list("file", "a.exe", "0123456789a"), 413},
		"body that ends":             {"POST", "/publicapi/submit/file", [2]string{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nabc"}, 400},
		"no link":                    {"POST", "/publicapi/submit/link", list("x", "", "y"), 420},
		"empty link":                 {"POST", "/publicapi/submit/link", list("link", "", ""), 421},
		"ftp link":                   {"POST", "/publicapi/submit/link", list("link", "", "ftp://x"), 421},
		"odd link":                   {"POST", "/publicapi/submit/link", list("link", "", "foo bar"), 200},
		"links":                      {"POST", "/publicapi/submit/links", list("file", "l.txt", "panlnk\r\nhttp://a\rhttp://b\n"), 200},
		"links without heading":      {"POST", "/publicapi/submit/links", list("file", "l.txt", "http://a\n"), 418},
		"links without name":         {"POST", "/publicapi/submit/links", list("file", "", "panlnk\nhttp://a\n"), 418},
		"no links":                   {"POST", "/publicapi/submit/links", list("file", "l.txt", "panlnk\n"), 422},
		"1001 links":                 {"POST", "/publicapi/submit/links", list("file", "l.txt", "panlnk\n"+strings.Repeat("http://a\n", 1001)), 422},
		"links missing":              {"POST", "/publicapi/submit/links", list("x", "", "y"), 420},
		"url missing":                {"POST", "/publicapi/submit/url", list("x", "", "y"), 420},
		"url of another kind":        {"POST", "/publicapi/submit/url", list("url", "", "file:///etc/passwd"), 421},
		"verdict of nothing":         {"POST", "/publicapi/get/verdict", plain(""), 420},
		"verdict of SHA-1":           {"POST", "/publicapi/get/verdict", plain("hash=" + strings.Repeat("a", 40)), 421},
		"verdict of what is no hash": {"POST", "/publicapi/get/verdict", plain("hash=" + strings.Repeat("g", 64)), 421},
		"verdict by query string":    {"POST", "/publicapi/get/verdict?hash=" + sha("x"), plain(""), 200},
		"verdicts of nothing":        {"POST", "/publicapi/get/verdicts", list("file", "h.txt", "\n"), 422},
		"verdicts without file":      {"POST", "/publicapi/get/verdicts", list("x", "", "y"), 420},
		"verdicts as a field":        {"POST", "/publicapi/get/verdicts", list("file", "", sha("x")+"\n"), 200},
		"500 verdicts":               {"POST", "/publicapi/get/verdicts", list("file", "h.txt", strings.Repeat(sha("x")+"\n", 500)), 200},
		"501 verdicts":               {"POST", "/publicapi/get/verdicts", list("file", "h.txt", strings.Repeat(sha("x")+"\n", 501)), 413},
		"changed without date":       {"POST", "/publicapi/get/verdicts/changed", plain(""), 420},
		"changed since long ago":     {"POST", "/publicapi/get/verdicts/changed", plain("date=2001-01-01"), 403},
		"changed in the future":      {"POST", "/publicapi/get/verdicts/changed", plain("date=2999-01-01"), 403},
		"changed since never":        {"POST", "/publicapi/get/verdicts/changed", plain("date=yesterday"), 421},
		"report of nothing":          {"POST", "/publicapi/get/report", plain(""), 420},
		"report of what is no hash":  {"POST", "/publicapi/get/report", plain("hash=x"), 421},
		"report that is not there":   {"POST", "/publicapi/get/report", plain("hash=" + sha("x")), 404},
		"sample of nothing":          {"POST", "/publicapi/get/sample", plain(""), 420},
		"sample of what is no hash":  {"POST", "/publicapi/get/sample", plain("hash=x"), 421},
		"pcap of nothing":            {"POST", "/publicapi/get/pcap", plain(""), 420},
		"pcap of what is no hash":    {"POST", "/publicapi/get/pcap", plain("hash=x"), 421},
		"artifacts of nothing":       {"POST", "/publicapi/get/webartifacts", plain(""), 420},
		"artifacts of another kind":  {"POST", "/publicapi/get/webartifacts", plain("url=http://a&types=video"), 421},
		"test file by GET":           {"GET", "/publicapi/test/pe", plain(""), 200},
		"unknown test file":          {"GET", "/publicapi/test/floppy", plain(""), 404},
		"change of nothing":          {"POST", "/publicapi/submit/change-request", list("x", "", "y"), 420},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if status, body := ask(t, web, tt.method, tt.path, tt.form[0], tt.form[1]); status != tt.status {
				t.Errorf("got %d, want %d: %s", status, tt.status, body)
			}
		})
	}
}

// TestCredentialIsCheckedBeforeQuotaAndBody: the credential comes before the quota, and both before
// the body.
func TestCredentialIsCheckedBeforeQuotaAndBody(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithToken("u"))
	if status, _ := ask(t, web, "POST", "/publicapi/submit/file", "text/plain", "x"); status != 401 {
		t.Errorf("got %d, want 401 before 415", status)
	}
	remove := server.Inject(wildfiretest.Rule{Token: "t", Fault: wildfiretest.Fault{Status: 456}})
	if status, _ := ask(t, web, "POST", "/publicapi/submit/file", "text/plain", "x"); status != 456 {
		t.Errorf("got %d, want the injected 456", status)
	}
	remove()
	if n := server.CountStatus(wildfire.OpSubmitFile, 401); n != 1 {
		t.Errorf("%d calls with 401, want 1", n)
	}
}

func TestRulesSelectCalls(t *testing.T) {
	t.Parallel()
	pattern := func(seed uint64, rule wildfiretest.Rule) string {
		server, web := start(t, wildfiretest.WithSeed(seed), wildfiretest.WithDelay(0))
		c := client(t, web.URL, "t")
		server.Inject(rule)
		var out strings.Builder
		for range 40 {
			if _, err := c.Verdict(t.Context(), sha("x")); err != nil {
				out.WriteByte('x')
			} else {
				out.WriteByte('.')
			}
		}

		return out.String()
	}
	fault := wildfiretest.Fault{Status: 500}
	if got := pattern(1, wildfiretest.Rule{From: 3, Times: 2, Fault: fault}); got != "..xx"+strings.Repeat(".", 36) {
		t.Errorf("from the third, twice: %s", got)
	}
	if got := pattern(1, wildfiretest.Rule{Op: wildfire.OpReport, Fault: fault}); strings.Contains(got, "x") {
		t.Errorf("another operation: %s", got)
	}

	half := wildfiretest.Rule{Rate: 0.5, Fault: fault}
	one, again := pattern(1, half), pattern(1, half)
	two := pattern(2, half)
	if one != again || one == two {
		t.Errorf("the seed decides: %s, %s, %s", one, again, two)
	}
	if n := strings.Count(one, "x"); n < 10 || n > 30 {
		t.Errorf("%d of 40 at a rate of a half", n)
	}
}

func TestRulesSelectSamples(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithDelay(0))
	c := client(t, web.URL, "t")
	server.Inject(wildfiretest.Rule{SHA256: strings.ToUpper(sha("one")), Fault: wildfiretest.Fault{Status: 422}})
	server.Inject(wildfiretest.Rule{Name: "two", Times: 1, Fault: wildfiretest.Fault{Status: 503, RetryAfter: "7", Body: wildfiretest.HTMLBody}})
	if _, err := c.SubmitFile(t.Context(), file("a.exe", "one")); !errors.Is(err, wildfire.ErrUnprocessable) {
		t.Errorf("by hash: got %v", err)
	}

	_, err := c.SubmitFile(t.Context(), file("two.exe", "2"))
	var api *wildfire.APIError
	if !errors.As(err, &api) || api.Status != 503 || api.RetryAfter != 7*time.Second {
		t.Errorf("by name: got %v", err)
	}
	if _, err := c.SubmitFile(t.Context(), file("two.exe", "2")); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if _, err := c.SubmitFile(t.Context(), file("three.exe", "3")); err != nil {
		t.Errorf("another file: %v", err)
	}
}

func TestTokenServiceIssuesTokens(t *testing.T) {
	t.Parallel()
	clock := wildfiretest.NewClock(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	const id, secret = "svc@123.iam.panserviceaccount.com", "P@ss w+rd!%/="
	server, web := start(t, wildfiretest.WithNow(clock.Now), wildfiretest.WithDelay(0), wildfiretest.WithQuota(1, 0),
		wildfiretest.WithClient(id, secret, "123"), wildfiretest.WithTokenLifetime(9500*time.Millisecond)) // rounded up to 10 s

	grant := url.Values{"grant_type": {"client_credentials"}, "scope": {"tsg_id:123"}}
	inForm := url.Values{"grant_type": {"client_credentials"}, "scope": {"tsg_id:123"}, "client_id": {id}, "client_secret": {secret}}
	with := func(key, value string) url.Values {
		changed := url.Values{}
		for k, v := range inForm {
			changed[k] = v
		}

		changed.Set(key, value)

		return changed
	}
	tests := map[string]struct {
		id, secret string // Basic; "" for none
		form       url.Values
		status     int
		holds      string
	}{
		"raw Basic":     {id, secret, grant, 200, `"expires_in":10`},
		"encoded Basic": {url.QueryEscape(id), url.QueryEscape(secret), grant, 200, `"token_type":"Bearer"`},
		"form":          {"", "", inForm, 200, `"access_token"`},
		"wrong secret":  {"", "", with("client_secret", "x"), 401, `"invalid_client"`},
		"wrong id":      {"x", secret, grant, 401, `"invalid_client"`},
		"no client":     {"", "", grant, 401, `"invalid_client"`},
		"wrong scope":   {"", "", with("scope", "tsg_id:124"), 400, `"invalid_scope"`},
		"wrong grant":   {"", "", with("grant_type", "password"), 400, `"unsupported_grant_type"`},
	}
	for name, tt := range tests {
		status, body := token(t, web, tt.id, tt.secret, tt.form)
		if status != tt.status || !strings.Contains(body, tt.holds) {
			t.Errorf("%s: got %d %s, want %d with %s", name, status, body, tt.status, tt.holds)
		}
	}

	if n := server.TokenRequests(); n != len(tests) {
		t.Errorf("%d token requests, want %d", n, len(tests))
	}

	fresh := func() string {
		_, body := token(t, web, id, secret, grant)
		_, rest, _ := strings.Cut(body, `"access_token":"`)
		value, _, _ := strings.Cut(rest, `"`)

		return value
	}
	one, two := fresh(), fresh()
	if one == two || one == "" {
		t.Fatal("the tokens are the same, or none")
	}
	if _, err := client(t, web.URL, one).SubmitFile(t.Context(), file("a.exe", "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, web.URL, two).SubmitFile(t.Context(), file("a.exe", "y")); !errors.Is(err, wildfire.ErrUploadQuota) {
		t.Errorf("got %v: the quota belongs to the account, not to the token", err)
	}
	if uploads, _ := server.Spent(id); uploads != 1 {
		t.Errorf("%d uploads spent, want 1", uploads)
	}

	verdict := func(token string) error {
		_, err := client(t, web.URL, token).Verdict(t.Context(), sha("x"))
		return err
	}
	server.Revoke(one)
	if err := verdict(one); !errors.Is(err, wildfire.ErrUnauthorized) {
		t.Errorf("a revoked token: got %v", err)
	}
	if err := verdict(two); err != nil {
		t.Errorf("the other token: %v", err)
	}

	clock.Advance(9900 * time.Millisecond)
	if err := verdict(two); err != nil {
		t.Errorf("a token in its last second: %v", err)
	}
	clock.Advance(100 * time.Millisecond)
	if err := verdict(two); !errors.Is(err, wildfire.ErrUnauthorized) {
		t.Errorf("an expired token: got %v", err)
	}

	three := fresh()
	server.RevokeAll()
	if err := verdict(three); !errors.Is(err, wildfire.ErrUnauthorized) {
		t.Errorf("after RevokeAll: got %v", err)
	}
	if err := verdict("made up"); !errors.Is(err, wildfire.ErrUnauthorized) {
		t.Errorf("an unknown token: got %v", err)
	}

	server.Inject(wildfiretest.Rule{Op: wildfiretest.OpToken, Fault: wildfiretest.Fault{Status: 503, Body: wildfiretest.HTMLBody}})
	if status, _ := token(t, web, id, secret, grant); status != 503 {
		t.Errorf("an injected 503: got %d", status)
	}
}

func token(t *testing.T, web *httptest.Server, id, secret string, form url.Values) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+wildfiretest.TokenPath, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}

	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		request.SetBasicAuth(id, secret)
	}

	answer, err := web.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}

	return answer.StatusCode, string(body)
}

// TestDelaysDependOnSeedAndSample spreads verdicts by seed and sample, whatever the order of the
// submissions.
func TestDelaysDependOnSeedAndSample(t *testing.T) {
	t.Parallel()
	submitForVerdict := func(seed uint64, names ...string) map[string]bool {
		clock := wildfiretest.NewClock(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
		_, web := start(t, wildfiretest.WithNow(clock.Now), wildfiretest.WithSeed(seed), wildfiretest.WithDelay(10*time.Second), wildfiretest.WithJitter(100*time.Second))
		c := client(t, web.URL, "t")
		for _, name := range names {
			if _, err := c.SubmitFile(t.Context(), file("a.exe", name)); err != nil {
				t.Fatal(err)
			}
		}

		clock.Advance(60 * time.Second)
		done := map[string]bool{}
		for _, name := range names {
			done[name] = verdictOf(t, c, sha(name)).Final()
		}

		return done
	}
	names := strings.Fields("a b c d e f g h i j k l m n o p")
	backwards := strings.Fields("p o n m l k j i h g f e d c b a")
	one := submitForVerdict(1, names...)
	if diff := cmp.Diff(one, submitForVerdict(1, backwards...)); diff != "" {
		t.Errorf("the order matters:\n%s", diff)
	}
	if cmp.Equal(one, submitForVerdict(2, names...)) {
		t.Error("the seed does not matter")
	}

	final := 0
	for _, done := range one {
		if done {
			final++
		}
	}

	if final == 0 || final == len(names) {
		t.Errorf("%d of %d have a verdict in the middle of the jitter", final, len(names))
	}
}

func TestOldestSamplesAndCallsAreDropped(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithDelay(0), wildfiretest.WithCapacity(3, 4))
	c := client(t, web.URL, "t")
	for i := range 10 {
		if _, err := c.SubmitFile(t.Context(), file("malware.exe", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}

	var names []int
	for _, call := range server.Calls() {
		names = append(names, call.Number)
	}
	if diff := cmp.Diff([]int{7, 8, 9, 10}, names); diff != "" {
		t.Errorf("calls kept (-want +got):\n%s", diff)
	}

	for i := range 10 {
		want := wildfire.Unknown
		if i >= 7 {
			want = wildfire.Malware
		}
		if got := verdictOf(t, c, sha(fmt.Sprint(i))); got != want {
			t.Errorf("sample %d is %v, want %v", i, got, want)
		}
	}

	if n := server.Count(wildfire.OpSubmitFile); n != 10 {
		t.Errorf("counted %d, want all 10", n)
	}
}

func TestSetVerdictChangesTheVerdict(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithDelay(0))
	c := client(t, web.URL, "t")
	if server.SetVerdict("", sha("x"), wildfire.Malware) {
		t.Error("changed the verdict of an unknown sample")
	}
	if _, err := c.SubmitFile(t.Context(), file("a.exe", "x")); err != nil {
		t.Fatal(err)
	}
	if !server.SetVerdict("", sha("x"), wildfire.Malware) || verdictOf(t, c, sha("x")) != wildfire.Malware {
		t.Error("the verdict did not change")
	}
}

func TestWithPlanDecidesTheResult(t *testing.T) {
	t.Parallel()
	_, web := start(t, wildfiretest.WithDelay(time.Hour), wildfiretest.WithPlan(func(s wildfiretest.Sample) (wildfiretest.Plan, bool) {
		return wildfiretest.Plan{Verdict: wildfire.Grayware}, s.Size == 3 && string(s.Head) == "abc" && s.Filename == "x.bin"
	}))
	c := client(t, web.URL, "t")
	for contents, want := range map[string]wildfire.Verdict{"abc": wildfire.Grayware, "abd": wildfire.Unknown} {
		if _, err := c.SubmitFile(t.Context(), file("x.bin", contents)); err != nil {
			t.Fatal(err)
		}
		if got := verdictOf(t, c, sha(contents)); got != want {
			t.Errorf("%s: got %v, want %v", contents, got, want)
		}
	}
}

func TestWaitReturnsAfterTheCall(t *testing.T) {
	t.Parallel()
	server, web := start(t)
	c := client(t, web.URL, "t")
	go func() { _, _ = c.Verdict(context.Background(), sha("x")) }()
	if err := server.Wait(t.Context(), func() bool { return server.Count(wildfire.OpVerdict) == 1 }); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Wait(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// TestOwnSmallSamplesAreReturned gets back the small samples of the own organization.
func TestOwnSmallSamplesAreReturned(t *testing.T) {
	t.Parallel()
	server, web := start(t, wildfiretest.WithDelay(0))
	c := client(t, web.URL, "t")
	large := strings.Repeat("x", 10_000)
	for _, contents := range []string{"small", large} {
		if _, err := c.SubmitFile(t.Context(), file("a.exe", contents)); err != nil {
			t.Fatal(err)
		}
	}

	server.Know(wildfiretest.Known{SHA256: sha("foreign"), Verdict: wildfire.Malware})
	var out bytes.Buffer
	if _, err := c.Sample(t.Context(), sha("small"), &out); err != nil || out.String() != "small" {
		t.Errorf("got %q, %v", out.String(), err)
	}

	for hash, want := range map[string]error{sha(large): wildfire.ErrGone, sha("foreign"): wildfire.ErrSampleForbidden, sha("unknown"): wildfire.ErrNotFound} {
		if _, err := c.Sample(t.Context(), hash, io.Discard); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

// Only a successful call costs a query.
func TestAnInvalidFormatCostsNoQuery(t *testing.T) {
	t.Parallel()
	server, web := start(t)
	server.Know(wildfiretest.Known{SHA256: sha("x"), Verdict: wildfire.Malware})
	form := strings.NewReader("hash=" + sha("x") + "&format=docx")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/publicapi/get/report", form)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer t")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, queries := server.Spent("t"); res.StatusCode != 421 || queries != 0 {
		t.Errorf("status %d, %d queries", res.StatusCode, queries)
	}
}
