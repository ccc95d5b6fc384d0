package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backburn/internal/api"
	"backburn/internal/httpserver"
	"backburn/internal/testkit"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestSubmitAndWait(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	large := "MZ" + strings.Repeat("malware ", 300_000) // 2.4 MB: through the object bucket
	for name, body := range map[string]string{"small.exe": "MZ small malware", "large.exe": large} {
		r := s.do("POST", "/v1/submit?filename=C%3A%5Cin%5C"+name+"&wait=60s", strings.NewReader(body),
			"Idempotency-Key", `"`+name+`"`, "Backburn-Meta-Client", "10.0.0.7", "Backburn-Priority", "urgent")
		var e results.Event
		if err := json.Unmarshal(r.body, &e); err != nil || r.status != http.StatusOK {
			t.Fatalf("%d %s: %v", r.status, r.body, err)
		}

		d := e.Data
		if d.JobID != name || d.Source != "proxy" || d.Filename != name || d.SHA256 != sum(body) || d.Size != int64(len(body)) ||
			d.Verdict == "" || d.Metadata["client"] != "10.0.0.7" {
			t.Errorf("%+v", d)
		}

		if r := s.do("GET", "/v1/jobs/"+name, nil); r.status != http.StatusOK || r.field(t, "state") != "done" {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r := s.do("GET", "/v1/verdicts/"+sum(body), nil); r.field(t, "verdict") != d.Verdict {
			t.Errorf("%s, want %s", r.body, d.Verdict)
		}
	}

	if r := s.do("POST", "/v1/submit?filename=a.xyz&wait=60s", strings.NewReader("unsupported"), "Idempotency-Key", "odd"); r.status == http.StatusOK {
		if r := s.do("GET", "/v1/jobs/odd", nil); r.field(t, "state") == "" {
			t.Errorf("%s", r.body)
		}
	}
}

func TestSubmitWithoutAWorker(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := s.do("POST", "/v1/submit?filename=a.exe&wait=10ms", strings.NewReader("MZ"))
	id := r.field(t, "job_id")
	if r.status != http.StatusAccepted || r.header.Get("Location") != "/v1/jobs/"+id || r.field(t, "sha256") != sum("MZ") {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
	if r := s.do("GET", "/v1/jobs/"+id, nil); r.field(t, "state") != "queued" {
		t.Errorf("%s", r.body)
	}

	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	_ = m.WriteField("comment", "not the file")
	_, _ = m.CreateFormFile("none", "")
	p, _ := m.CreateFormFile("file", "b.exe")
	_, _ = io.WriteString(p, "MZ in a form")
	_ = m.Close()
	if r := s.do("POST", "/v1/submit", &form, "Content-Type", m.FormDataContentType()); r.field(t, "sha256") != sum("MZ in a form") {
		t.Errorf("%s", r.body)
	}

	// With the same key, the same contents have no further effect, and others are refused while the
	// first job is stored.
	large := strings.Repeat("x", 2_000_000)
	for _, tc := range []struct {
		body string
		want int
	}{{large, 202}, {large, 202}, {large + "y", 409}} {
		if r := s.do("POST", "/v1/submit?filename=l.exe", strings.NewReader(tc.body), "Idempotency-Key", "twice"); r.status != tc.want {
			t.Errorf("%d %s, want %d", r.status, r.body, tc.want)
		}
	}

	st, err := s.q.Status(t.Context(), pipeline.DefaultConfig())
	// The repeat is published again, in case the first attempt failed; a worker drops it.
	if err != nil || st.Lanes[pipeline.Normal].Queued != 4 {
		t.Errorf("%d jobs, want 4: %v", st.Lanes[pipeline.Normal].Queued, err)
	}
}

// A link has no contents to send, and is otherwise processed like a file.
func TestLinks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const link = "https://example.com/phishing?a=b"
	submit := "/v1/submit?url=" + url.QueryEscape(link)
	r := s.do("POST", submit, nil, "Idempotency-Key", "link", "Backburn-Meta-Client", "10.0.0.7")
	if r.status != http.StatusAccepted || r.field(t, "job_id") != "link" || strings.Contains(string(r.body), "sha256") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.do("POST", "/v1/submit?url=https://example.com/other", nil, "Idempotency-Key", "link"); r.status != http.StatusConflict {
		t.Errorf("another link under the same key: %d %s", r.status, r.body)
	}

	s.work()
	r = s.do("POST", submit+"&wait=60s", nil, "Idempotency-Key", "link", "Backburn-Meta-Client", "10.0.0.7")
	var e results.Event
	if err := json.Unmarshal(r.body, &e); err != nil || r.status != http.StatusOK {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	if e.Data.URL != link || e.Data.Verdict != "phishing" || e.Data.Metadata["client"] != "10.0.0.7" {
		t.Errorf("%+v", e.Data)
	}
	if r := s.do("POST", "/v1/submit?filename=a.exe", strings.NewReader("MZ"), "Idempotency-Key", "link"); r.status != http.StatusConflict {
		t.Errorf("a file under the key of a link: %d %s", r.status, r.body)
	}
}

// The job continues the client's trace.
func TestTraceparent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" // W3C Trace Context, 3.2
	s.do("POST", "/v1/submit?filename=a.exe", strings.NewReader("MZ"), "Traceparent", parent, "Tracestate", "congo=t61")
	s.do("POST", "/v1/submit?filename=a.exe", strings.NewReader(strings.Repeat("x", 2_000_000)), "Traceparent", parent)
	s.do("POST", "/v1/submit?url=https://example.com/", nil, "Traceparent", parent)
	s.do("POST", "/v1/submit?filename=a.exe", strings.NewReader("MZ"), "Traceparent", "nonsense")
	jobs, err := s.q.JetStream().Stream(t.Context(), s.q.JobsStream())
	if err != nil {
		t.Fatal(err)
	}

	for seq, want := range map[uint64]string{1: parent, 2: parent, 3: parent, 4: ""} {
		m, err := jobs.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Header.Get("traceparent"); got != want {
			t.Errorf("job %d: traceparent %q, want %q", seq, got, want)
		}
	}
}

// A key that was used for other contents is refused, and the new contents are not processed.
func TestKeyOfOtherContentsIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	submit := func(key, body, query string) reply {
		t.Helper()
		return s.do("POST", "/v1/submit?filename=a.exe"+query, strings.NewReader(body), "Idempotency-Key", key)
	}
	refused := func(what string, r reply) {
		t.Helper()
		if r.status != http.StatusConflict || r.field(t, "type") != "urn:backburn:problem:other-contents" {
			t.Errorf("%s: %d %s, want 409 other-contents", what, r.status, r.body)
		}
	}
	accepted := func(what string, r reply) {
		t.Helper()
		if r.status/100 != 2 {
			t.Errorf("%s: %d %s, want 2xx", what, r.status, r.body)
		}
	}
	accepted("a new key", submit("mine", "one", ""))
	accepted("the same again, in the queue", submit("mine", "one", ""))
	refused("other contents, in the queue", submit("mine", "two", ""))

	// The API does not show a job that another gateway submitted under the same key.
	theirs := pipeline.Job{ID: "theirs", Source: "mail", Priority: pipeline.Normal, Filename: "secret.doc"}
	_, err := s.q.Publisher().Submit(t.Context(), theirs, queue.FromReader(strings.NewReader("one"), 3))
	if err != nil {
		t.Fatal(err)
	}

	s.work()
	accepted("the final event", submit("mine", "one", "&wait=30s"))
	accepted("the same again, after the final event", submit("mine", "one", ""))
	refused("other contents, after the final event", submit("mine", "two", ""))
	refused("other contents, after the final event, with wait", submit("mine", "two", "&wait=30s"))
	if _, err := s.q.Ledger().Await(t.Context(), theirs.Ref()); err != nil {
		t.Fatal(err)
	}
	if got := submit("theirs", "two", "&wait=30s"); got.status != http.StatusOK || strings.Contains(string(got.body), "secret.doc") {
		t.Errorf("a job of another source was shown: %d %s", got.status, got.body)
	}
}

// A truncated body is not submitted.
func TestTruncatedBody(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/submit?filename=a", pr)
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Set("Authorization", "Bearer "+token)
	go func() {
		_, _ = io.WriteString(pw, strings.Repeat("x", 1_500_000))
		pw.CloseWithError(errors.New("the client dies"))
	}()
	if res, err := s.client.Do(req); err == nil {
		res.Body.Close()
		t.Errorf("it was answered: %s", res.Status)
	}

	s.stop() // waits for the handler
	st, err := s.q.Status(t.Context(), pipeline.DefaultConfig())
	if err != nil || st.Lanes[pipeline.Normal].Queued != 0 {
		t.Errorf("half a file was submitted: %v", err)
	}
}

func TestTokenFileChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) { s.cfg.Tokens = s.cfg.Tokens[:1] })
	until := func(status int, shown string) {
		t.Helper()
		for end := time.Now().Add(testkit.Patience); ; {
			r := s.do("GET", "/v1/jobs/x", nil, "Authorization", shown)
			if r.status == status {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d %s, want %d", r.status, r.body, status)
			}

			time.Sleep(50 * time.Millisecond) // files give no signal
		}
	}
	if err := os.WriteFile(s.file, []byte("another-horse-battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	until(404, "bearer another-horse-battery")
	until(401, "Bearer "+token)
	if err := os.WriteFile(s.file, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	until(503, "Bearer short")
	if err := os.Remove(s.file); err != nil {
		t.Fatal(err)
	}

	until(503, "Bearer ")
	until(503, "Bearer another-horse-battery")
}

// Jobs of other sources are not shown.
func TestOtherSourcesAreNotShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	for _, source := range []string{"mail"} {
		j := pipeline.Job{ID: "theirs", Source: source, Priority: pipeline.Normal, Filename: "a.exe"}
		if _, err := s.q.Publisher().Submit(t.Context(), j, queue.FromReader(strings.NewReader("MZ"), 2)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.q.Ledger().Await(t.Context(), j.Ref()); err != nil {
			t.Fatal(err)
		}
	}
	if r := s.do("GET", "/v1/jobs/theirs", nil); r.status != 404 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestEventsAreStreamed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	open := func(last string) *http.Response {
		req, err := http.NewRequestWithContext(ctx, "GET", s.url+"/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}

		req.Header.Set("Authorization", "Bearer "+token)
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}

		res, err := s.client.Do(req)
		if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%v %v", res, err)
		}

		return res
	}
	// next reads the next event of a job.
	next := func(lines *bufio.Scanner, job string) (id string) {
		for lines.Scan() {
			if v, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				id = v
			}

			if v, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var e results.Event
				if err := json.Unmarshal([]byte(v), &e); err != nil {
					t.Fatal(err)
				}
				if e.Data.Source != "proxy" {
					t.Errorf("an event of %s", e.Data.Source)
				}
				if e.Data.JobID == job && e.Type.Final() {
					return id
				}
			}
		}

		t.Fatalf("the stream ended: %v", lines.Err())

		return ""
	}
	first := open("")
	lines := bufio.NewScanner(first.Body)
	s.do("POST", "/v1/submit?filename=a.exe", strings.NewReader("MZ one"), "Idempotency-Key", "one")
	id := next(lines, "one")
	first.Body.Close()
	s.do("POST", "/v1/submit?filename=a.exe&wait=60s", strings.NewReader("MZ two"), "Idempotency-Key", "two")
	second := open(id) // the event that was published while the client was disconnected
	defer second.Body.Close()
	next(bufio.NewScanner(second.Body), "two")
}

// An open stream and a waiting client do not prevent the server from stopping.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	taken := s.cfg
	taken.Listen = strings.TrimPrefix(s.url, "http://")
	s.deps.Registry = prometheus.NewRegistry()
	if other, err := api.New(taken, s.deps); !errors.Is(err, httpserver.ErrListen) {
		other.Close()
		t.Errorf("a second server at one address: %v", err)
	}

	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Set("Authorization", "Bearer "+token)
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}

	waited := make(chan reply, 1)
	go func() { waited <- s.do("POST", "/v1/submit?filename=a.exe&wait=2m", strings.NewReader("MZ")) }()
	for {
		st, err := s.q.Status(t.Context(), pipeline.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		if st.Lanes[pipeline.Normal].Queued == 1 {
			break
		}
	}

	s.stop()
	if r := <-waited; r.status != http.StatusAccepted {
		t.Errorf("the waiting client got %d %s", r.status, r.body)
	}

	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
}
