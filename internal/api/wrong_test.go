package api_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"backburn/internal/api"
)

// form is a multipart/form-data body of parts, each a header and contents.
func form(parts ...string) string {
	var b strings.Builder
	for i := 0; i < len(parts); i += 2 {
		b.WriteString("--b\r\n" + parts[i] + "\r\n\r\n" + parts[i+1] + "\r\n")
	}

	return b.String() + "--b--\r\n"
}

const (
	formType = "multipart/form-data; boundary=b"
	aFile    = `Content-Disposition: form-data; name="file"; filename="a.exe"`
	aField   = `Content-Disposition: form-data; name="comment"`
)

// wrong is a request that must be refused.
type wrong struct {
	method, path string
	body         string
	header       []string
	status       int
	kind         string
}

func wrongRequests() map[string]wrong {
	exact := strings.Repeat("x", limit)
	submit := "/v1/submit?filename=a"
	long := strings.Repeat("n", 4097)
	with := func(header ...string) wrong { return wrong{"POST", submit, "x", header, 400, "invalid-request"} }
	query := func(q string) wrong { return wrong{"POST", "/v1/submit" + q, "x", nil, 400, "invalid-request"} }
	multi := func(body string, status int, kind string) wrong {
		return wrong{"POST", "/v1/submit", body, []string{"Content-Type", formType}, status, kind}
	}
	odd := func(contentType string, status int, kind string) wrong {
		return wrong{"POST", submit, form(aFile, "MZ"), []string{"Content-Type", contentType}, status, kind}
	}
	get := func(path string, status int, kind string) wrong { return wrong{"GET", path, "", nil, status, kind} }
	many := []string{}
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456" {
		many = append(many, "Backburn-Meta-"+string(c), "v")
	}

	return map[string]wrong{
		// Authentication.
		"no token":           {"POST", submit, "", []string{"Authorization", ""}, 401, "unauthorized"},
		"wrong token":        {"GET", "/v1/events", "", []string{"Authorization", "Bearer wrong"}, 401, "unauthorized"},
		"other scheme":       {"GET", "/v1/jobs/x", "", []string{"Authorization", "Basic " + token}, 401, "unauthorized"},
		"token alone":        {"GET", "/v1/jobs/x", "", []string{"Authorization", token}, 401, "unauthorized"},
		"truncated token":    {"GET", "/v1/jobs/x", "", []string{"Authorization", "Bearer " + token[:16]}, 401, "unauthorized"},
		"token and more":     {"GET", "/v1/jobs/x", "", []string{"Authorization", "Bearer " + token + "x"}, 401, "unauthorized"},
		"two tokens":         {"GET", "/v1/jobs/x", "", []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + plain}, 401, "unauthorized"},
		"token in a query":   {"GET", "/v1/jobs/x?access_token=" + token, "", []string{"Authorization", ""}, 401, "unauthorized"},
		"no token, nowhere":  {"GET", "/nowhere", "", []string{"Authorization", ""}, 401, "unauthorized"},
		"urgent not allowed": {"POST", submit, "x", []string{"Authorization", "Bearer " + plain, "Backburn-Priority", "urgent"}, 403, "forbidden"},
		"another site":       {"POST", submit, "x", []string{"Sec-Fetch-Site", "cross-site"}, 403, "forbidden"},
		"a sister site":      {"GET", "/v1/events", "", []string{"Sec-Fetch-Site", "same-site"}, 403, "forbidden"},
		"another host":       {"GET", "/v1/jobs/x", "", []string{"Host", "evil.example"}, 421, "misdirected"},
		"a near host":        {"GET", "/v1/jobs/x", "", []string{"Host", "localhost.evil.example"}, 421, "misdirected"},
		"another address":    {"GET", "/v1/jobs/x", "", []string{"Host", "192.0.2.7"}, 421, "misdirected"},

		// Links.
		"no link":             query("?url=ftp://example.com/"),
		"empty link":          query("?url="),
		"link without a host": {"POST", "/v1/submit?url=https://", "", nil, 400, "invalid-request"},
		"link of a script":    {"POST", "/v1/submit?url=javascript:alert(1)", "", nil, 400, "invalid-request"},
		"long link":           {"POST", "/v1/submit?url=https://example.com/" + strings.Repeat("l", 8<<10), "", nil, 400, "invalid-request"},
		"link and file":       query("?url=https://example.com/&filename=a"),
		"link and path":       {"POST", "/v1/submit?url=https://example.com/&path=a", "", nil, 400, "invalid-request"},
		"link and body":       query("?url=https://example.com/"),

		// Parameters.
		"no name":                   query(""),
		"empty name":                query("?filename="),
		"name of a folder":          query("?filename=a/b/"),
		"long name":                 query("?filename=" + long),
		"long odd name":             query("?filename=" + strings.Repeat("%ff", 4097)),
		"long path":                 query("?filename=a&path=" + long),
		"two names":                 query("?filename=a&filename=b"),
		"misspelt":                  query("?file=a"),
		"case of a name":            query("?Filename=a"),
		"no query":                  query("?filename=a&x=%zz"),
		"semicolons":                query("?filename=a;path=b"),
		"wait too long":             query("?filename=a&wait=1h"),
		"empty wait":                query("?filename=a&wait="),
		"wait without a unit":       query("?filename=a&wait=10"),
		"negative wait":             query("?filename=a&wait=-1s"),
		"key with a blank":          with("Idempotency-Key", "a b"),
		"empty key":                 with("Idempotency-Key", `""`),
		"long key":                  with("Idempotency-Key", strings.Repeat("k", 129)),
		"key of a folder":           with("Idempotency-Key", ".."),
		"key with a slash":          with("Idempotency-Key", "../a"),
		"half a quoted key":         with("Idempotency-Key", `a"b`),
		"two keys":                  with("Idempotency-Key", "a", "Idempotency-Key", "b"),
		"unknown priority":          with("Backburn-Priority", "high"),
		"unknown submit value":      with("Backburn-Submit", "Never"),
		"misspelt header":           with("Backburn-Sumbit", "never"),
		"header of NATS":            with("Backburn-Received", "2026-01-02T03:04:05Z"),
		"long reason":               with("Backburn-Submit", "never", "Backburn-Submit-Reason", strings.Repeat("r", 513)),
		"two reasons":               with("Backburn-Submit-Reason", "a", "Backburn-Submit-Reason", "b"),
		"metadata without a name":   with("Backburn-Meta-", "v"),
		"two priorities":            with("Backburn-Priority", "bulk", "Backburn-Priority", "normal"),
		"too much metadata":         with("Backburn-Meta-A", strings.Repeat("m", 9000)),
		"too many metadata headers": with(many...),
		"metadata twice":            with("Backburn-Meta-A", "1", "Backburn-Meta-A", "2"),

		// Bodies that are not the file.
		"compressed":               {"POST", submit, "x", []string{"Content-Encoding", "gzip"}, 415, "unsupported-media"},
		"other compression":        {"POST", submit, "x", []string{"Content-Encoding", "br"}, 415, "unsupported-media"},
		"two encodings":            {"POST", submit, "x", []string{"Content-Encoding", "identity, gzip"}, 415, "unsupported-media"},
		"encoding twice":           {"POST", submit, "x", []string{"Content-Encoding", "identity", "Content-Encoding", "gzip"}, 415, "unsupported-media"},
		"transfer encoding":        {"POST", submit, "x", []string{"Content-Transfer-Encoding", "base64"}, 415, "unsupported-media"},
		"a range":                  with("Content-Range", "bytes 0-0/2"),
		"a list of types":          odd("application/octet-stream, multipart/form-data; boundary=b", 400, "invalid-request"),
		"a quoted type":            odd(`"multipart/form-data; boundary=b"`, 400, "invalid-request"),
		"form-data alone":          odd("form-data; boundary=b", 415, "unsupported-media"),
		"another form-data":        odd("application/form-data; boundary=b", 415, "unsupported-media"),
		"two types":                with("Content-Type", "text/plain", "Content-Type", formType),
		"no boundary":              odd("multipart/form-data", 400, "invalid-request"),
		"empty boundary":           odd(`multipart/form-data; boundary=""`, 400, "invalid-request"),
		"boundary with a slash":    odd("multipart/form-data; boundary=a/b", 400, "invalid-request"),
		"two boundaries":           odd("multipart/form-data; boundary=b; boundary=c", 400, "invalid-request"),
		"long boundary":            odd("multipart/form-data; boundary="+strings.Repeat("b", 71), 400, "invalid-request"),
		"another boundary":         odd("multipart/form-data; boundary=other", 400, "incomplete"),
		"capitals":                 odd("MULTIPART/FORM-DATA; boundary=a/b", 400, "invalid-request"),
		"multipart alone":          odd("multipart", 415, "unsupported-media"),
		"multipart/mixed":          odd("multipart/mixed; boundary=b", 415, "unsupported-media"),
		"multipart/related":        odd("multipart/related; boundary=b", 415, "unsupported-media"),
		"no form":                  {"POST", submit, "x", []string{"Content-Type", "multipart/form-data; boundary=b"}, 400, "incomplete"},
		"empty form":               multi("--b--\r\n", 400, "invalid-request"),
		"form of fields":           multi(form(aField, "text"), 400, "invalid-request"),
		"two files":                multi(form(aFile, "MZ", aFile, "MZ"), 400, "invalid-request"),
		"two files and a field":    multi(form(aFile, "MZ", aField, "text", aFile, "MZ"), 400, "invalid-request"),
		"parameter as a field":     multi(form(aFile, "MZ", `Content-Disposition: form-data; name="submit"`, "never"), 400, "invalid-request"),
		"header as a field":        multi(form(`Content-Disposition: form-data; name="Backburn-Submit"`, "never", aFile, "MZ"), 400, "invalid-request"),
		"field of another type":    multi(form(aFile, "MZ", aField+"\r\nContent-Type: application/octet-stream", "MZ"), 400, "invalid-request"),
		"field of a broken type":   multi(form(aFile, "MZ", aField+"\r\nContent-Type: text/plain; =", "MZ"), 400, "invalid-request"),
		"attachment":               multi(form(aFile, "MZ", `Content-Disposition: attachment; name="comment"`, "MZ"), 400, "invalid-request"),
		"several files in a part":  multi(form(aFile, "MZ", aField+"\r\nContent-Type: multipart/mixed; boundary=c", "--c\r\n\r\nMZ\r\n--c--"), 400, "invalid-request"),
		"file with an empty name":  multi(form(aFile, "MZ", aField+`; filename=""`, "MZ"), 400, "invalid-request"),
		"file with a broken name":  multi(form(aFile, "MZ", aField+`; filename="a"b.exe"`, "MZ"), 400, "invalid-request"),
		"file with an open name":   multi(form(aFile, "MZ", aField+`; filename=\xe4 b.exe`, "MZ"), 400, "invalid-request"),
		"part without a name":      multi(form(aFile, "MZ", "Content-Type: application/octet-stream", "MZ"), 400, "invalid-request"),
		"form without its end":     multi("--b\r\n"+aFile+"\r\n\r\nMZ\r\n", 400, "incomplete"),
		"form cut at a boundary":   multi("--b\r\n"+aFile+"\r\n\r\nMZ\r\n--b\r\n", 400, "incomplete"),
		"form cut in a header":     multi("--b\r\n"+aFile+"\r\n\r\nMZ\r\n--b\r\nContent-", 400, "invalid-request"),
		"form cut short":           multi("--b\r\n"+aFile+"\r\n\r\nMZ", 400, "incomplete"),
		"too much before the file": multi(form(aField, strings.Repeat("f", 100_000), aFile, "MZ"), 400, "invalid-request"),
		"too much after the file":  multi(form(aFile, "MZ", aField, strings.Repeat("f", 100_000)), 400, "invalid-request"),
		"too much after the form":  multi(form(aFile, "MZ")+strings.Repeat("e", 100_000), 400, "invalid-request"),
		"long header of a part":    multi(form(aFile+"\r\nX: "+strings.Repeat("h", 100_000), "MZ"), 400, "invalid-request"),
		"long name in a form":      multi(form(strings.Replace(aFile, "a.exe", long, 1), "MZ"), 400, "invalid-request"),
		"file in base64":           multi(form(aFile+"\r\nContent-Transfer-Encoding: base64", "TVo="), 415, "unsupported-media"),
		"file in quoted-printable": multi(form(aFile+"\r\nContent-Transfer-Encoding: quoted-printable", "MZ=3D"), 415, "unsupported-media"),
		"file in base64, twice":    multi(form(aFile+"\r\nContent-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: base64", "TVo="), 415, "unsupported-media"),
		"file of parts":            multi(form(aFile+"\r\nContent-Type: multipart/mixed; boundary=c", "--c\r\n\r\nMZ\r\n--c--"), 415, "unsupported-media"),
		"file compressed":          multi(form(aFile+"\r\nContent-Encoding: gzip", "MZ"), 415, "unsupported-media"),

		// Sizes.
		"one too many":          {"POST", submit, exact + "x", nil, 413, "too-large"},
		"far too many":          {"POST", submit, exact + exact, nil, 413, "too-large"},
		"one too many, form":    multi(form(aFile, exact+"x"), 413, "too-large"),
		"far too many, form":    multi(form(aFile, exact+exact), 413, "too-large"),
		"too many, and no NATS": {"POST", submit, exact + "x", nil, 413, "too-large"},

		// Other paths.
		"no hash":            get("/v1/verdicts/XYZ", 400, "invalid-request"),
		"capital hash":       get("/v1/verdicts/"+strings.ToUpper(sum("a")), 400, "invalid-request"),
		"short hash":         get("/v1/verdicts/"+sum("a")[:63], 400, "invalid-request"),
		"unknown hash":       get("/v1/verdicts/"+sum("unknown"), 404, "unknown-contents"),
		"unknown job":        get("/v1/jobs/unknown", 404, "unknown-job"),
		"job of odd letters": get("/v1/jobs/%00%ff*.%3E", 404, "unknown-job"),
		"no job":             get("/v1/jobs/", 404, "not-found"),
		"below a job":        get("/v1/jobs/a/b", 404, "not-found"),
		"read a submission":  get("/v1/submit", 405, "method-not-allowed"),
		"put a submission":   {"PUT", "/v1/submit", "", nil, 405, "method-not-allowed"},
		"delete a job":       {"DELETE", "/v1/jobs/x", "", nil, 405, "method-not-allowed"},
		"write a verdict":    {"POST", "/v1/verdicts/" + sum("a"), "", nil, 405, "method-not-allowed"},
		"write an event":     {"POST", "/v1/events", "", nil, 405, "method-not-allowed"},
		"OPTIONS":            {"OPTIONS", "/v1/submit", "", []string{"Origin", "https://evil.example"}, 405, "method-not-allowed"},
		"nowhere":            get("/", 404, "not-found"),
		"another version":    get("/v2/submit", 404, "not-found"),
		"two slashes":        get("//v1/jobs/x", 404, "not-found"),
		"dots":               get("/v1/../v1/jobs/x", 404, "not-found"),
		"a slash too many":   get("/v1/events/", 404, "not-found"),
		"metrics":            get("/metrics", 404, "not-found"),
		"invalid last event": {"GET", "/v1/events", "", []string{"Last-Event-ID", "x"}, 400, "invalid-request"},
	}
}

// Every invalid request gets its status and a problem document, and nothing is submitted.
func TestWrongRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	exact := strings.Repeat("x", limit)
	if r := s.do("POST", "/v1/submit?filename=exact", strings.NewReader(exact)); r.status != http.StatusAccepted {
		t.Errorf("exactly the limit: %d %s", r.status, r.body)
	}
	if r := s.do("POST", "/v1/submit", strings.NewReader(form(aFile, exact)), "Content-Type", formType); r.status != http.StatusAccepted {
		t.Errorf("exactly the limit, in a form: %d %s", r.status, r.body)
	}

	for name, tc := range wrongRequests() {
		for how, body := range map[string]io.Reader{"": strings.NewReader(tc.body), " (chunked)": io.MultiReader(strings.NewReader(tc.body))} {
			if tc.body == "" {
				if how != "" {
					continue
				}

				body = nil
			}

			r := s.do(tc.method, tc.path, body, tc.header...)
			if r.status != tc.status || r.field(t, "type") != "urn:backburn:problem:"+tc.kind {
				t.Errorf("%s%s: %d %s, want %d %s", name, how, r.status, r.body, tc.status, tc.kind)
			}
			if bytes.Contains(r.body, []byte(token)) {
				t.Errorf("%s: the answer shows the token", name)
			}

			if r.status == 503 || r.status == 429 {
				if r.header.Get("Retry-After") == "" {
					t.Errorf("%s: no Retry-After", name)
				}
			}
		}
	}

	objects, err := s.q.Objects().List(t.Context(), "")
	if err != nil || len(objects) != 2 {
		t.Errorf("%d objects, want those of the two that were accepted: %v", len(objects), err)
	}

	jobs, err := s.q.JetStream().Stream(t.Context(), s.q.JobsStream())
	if err != nil {
		t.Fatal(err)
	}
	if n := jobs.CachedInfo().State.Msgs; n != 2 {
		t.Errorf("%d jobs, want the two that were accepted", n)
	}
}

// The body is the file, whatever its Content-Type, except for multipart types.
func TestBodiesThatAreTheFile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, contentType := range []string{"", "application/x-www-form-urlencoded", "application/json", "nonsense", ";;", "text/plain; charset=\"", "multipart-like/x"} {
		header := []string{"Content-Encoding", "identity"}
		if contentType != "" {
			header = append(header, "Content-Type", contentType)
		}
		r := s.do("POST", "/v1/submit?filename=a.exe", strings.NewReader("MZ"), header...)
		if r.status != 202 && contentType != "multipart-like/x" || r.status == 202 && r.field(t, "sha256") != sum("MZ") {
			t.Errorf("%q: %d %s", contentType, r.status, r.body)
		}
	}
	fields := form(aField, "before", `Content-Disposition: form-data; name="none"; filename=""`, "", aFile+"\r\nContent-Transfer-Encoding: binary", "MZ = in a form",
		aField+"\r\nContent-Type: text/plain; charset=utf-8", "behind") + "an epilogue"
	r := s.do("POST", "/v1/submit", strings.NewReader(fields), "Content-Type", formType)
	if r.status != 202 || r.field(t, "sha256") != sum("MZ = in a form") {
		t.Errorf("a file among fields: %d %s", r.status, r.body)
	}
}

// A token that is too short is refused.
func TestShortTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.cfg.Tokens = []api.Token{{File: secretFile(t, "fifteen letters"), Source: "a"}}
	s.deps.Registry = prometheus.NewRegistry()
	if _, err := api.New(s.cfg, s.deps); err == nil || !strings.Contains(err.Error(), "15 characters") || strings.Contains(err.Error(), "fifteen letters") {
		t.Errorf("got %v", err)
	}
}
