package api_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/internal/natsconn"
	"backburn/internal/testkit"
	"backburn/pipeline/queue"
)

// documented lists the answers in the document, such as "POST /v1/submit 202", and the parameters
// of each operation, such as "POST /v1/submit wait".
func documented() (answered, parameters map[string]bool) {
	answered, parameters = map[string]bool{}, map[string]bool{}
	paths, _ := at(any(openapi), "paths").(map[string]any)
	for path, operations := range paths {
		for method, operation := range operations.(map[string]any) {
			name := strings.ToUpper(method) + " " + path + " "
			responses, _ := at(operation, "responses").(map[string]any)
			for status := range responses {
				answered[name+status] = true
			}
			list, _ := at(operation, "parameters").([]any)
			for _, p := range list {
				parameters[name+p.(map[string]any)["name"].(string)] = true
			}
		}
	}

	return answered, parameters
}

// template returns the path in the document that matches a request.
func template(path string) string {
	path, _, _ = strings.Cut(path, "?")
	for prefix, template := range map[string]string{"/v1/jobs/": "/v1/jobs/{id}", "/v1/verdicts/": "/v1/verdicts/{sha256}"} {
		if strings.HasPrefix(path, prefix) {
			return template
		}
	}

	return path
}

// The test makes every documented request, with every parameter, and gets every documented answer.
// It checks the form of each answer (checkDocumented).
func TestEveryDocumentedAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.work()
	answered, parameters := documented()
	if len(answered) < 25 || len(parameters) < 11 {
		t.Fatalf("the document has only %d answers and %d parameters", len(answered), len(parameters))
	}

	try := func(s *site, status int, method, path, body string, header ...string) reply {
		t.Helper()
		var r reply
		if template(path) == "/v1/events" && status == 200 {
			r = s.openStream(header...)
		} else {
			r = s.do(method, path, strings.NewReader(body), header...)
		}

		name := method + " " + template(path) + " "
		if r.status != status {
			t.Errorf("%s: %d %s, want %d", name, r.status, r.body, status)
		}
		if (status == 429 || status == 503) && r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d without Retry-After", name, status)
		}

		delete(answered, name+itoa(r.status))
		_, query, _ := strings.Cut(path, "?")
		for _, pair := range strings.Split(query, "&") {
			key, _, _ := strings.Cut(pair, "=")
			delete(parameters, name+key)
		}

		for i := 0; i < len(header); i += 2 {
			key := header[i]
			if strings.HasPrefix(key, "Backburn-Meta-") {
				key = "Backburn-Meta-NAME"
			}

			delete(parameters, name+key)
		}

		for _, part := range []string{"id", "sha256"} {
			if strings.Contains(name, "{"+part+"}") {
				delete(parameters, name+part)
			}
		}

		return r
	}

	const submit = "/v1/submit?filename=a.exe"
	try(s, 200, "POST", submit+"&path=in/a.exe&wait=60s", "MZ", "Idempotency-Key", "one", "Backburn-Priority", "urgent", "Backburn-Meta-Client", "10.0.0.7",
		"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	try(s, 202, "POST", "/v1/submit?url=https://example.com/", "", "Backburn-Submit", "lookup")
	try(s, 202, "POST", "/v1/submit", form(aFile, "MZ two"), "Content-Type", formType, "Idempotency-Key", `"two"`)
	try(s, 409, "POST", submit, "other", "Idempotency-Key", "one")
	try(s, 202, "POST", submit, "slow", "Authorization", "Bearer "+slow)
	try(s, 429, "POST", submit, "slow", "Authorization", "Bearer "+slow)
	try(s, 200, "GET", "/v1/jobs/one", "")
	try(s, 200, "GET", "/v1/verdicts/"+sum("MZ"), "")
	try(s, 200, "GET", "/v1/events", "")
	try(s, 200, "GET", "/v1/events", "", "Last-Event-ID", time.Now().UTC().Format(time.RFC3339Nano))
	for name, w := range wrongRequests() {
		if strings.HasPrefix(name, "no NATS") || at(any(openapi), "paths", template(w.path), strings.ToLower(w.method)) == nil {
			continue
		}

		try(s, w.status, w.method, w.path, w.body, w.header...)
	}

	for _, path := range []string{"/v1/jobs/x", "/v1/verdicts/" + sum("a"), "/v1/events"} {
		try(s, 401, "GET", path, "", "Authorization", "Bearer no")
		try(s, 403, "GET", path, "", "Sec-Fetch-Site", "cross-site")
		try(s, 421, "GET", path, "", "Host", "evil.example")
	}

	try(s, 421, "POST", submit, "", "Host", "evil.example")

	testkit.StopNATS(s.nats)
	for s.deps.Ready(t.Context()) == nil { // the client notices
		time.Sleep(time.Millisecond)
	}

	try(s, 503, "POST", submit, "MZ")
	try(s, 503, "GET", "/v1/jobs/one", "")
	try(s, 503, "GET", "/v1/verdicts/"+sum("MZ"), "")
	try(s, 503, "GET", "/v1/events", "")
	// Sizes are checked first.
	try(s, 413, "POST", submit, strings.Repeat("x", limit+1))

	for _, missing := range []map[string]bool{answered, parameters} {
		if left := slices.Sorted(maps.Keys(missing)); len(left) > 0 {
			t.Errorf("no request of this test covers:\n%s", strings.Join(left, "\n"))
		}
	}
}

// openStream requests events and reads only the header.
func (s *site) openStream(header ...string) reply {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/events", nil)
	if err != nil {
		s.t.Fatal(err)
	}

	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}

	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		s.t.Errorf("Content-Type %q", got)
	}

	return reply{status: res.StatusCode, header: res.Header}
}

// A server that denies the API's requests does not answer them. The client gets an answer anyway.
func TestForbiddenByNATS(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) {
		nc, err := nats.Connect(s.nats.ClientURL(), nats.UserInfo("mute", "pw"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			s.t.Fatal(err)
		}

		s.t.Cleanup(nc.Close)
		q, err := queue.AttachOrOpen(s.t.Context(), nc, queue.Topology{Prefix: "backburn", Replicas: 1})
		if err != nil {
			s.t.Fatal(err)
		}

		s.deps.Ready = natsconn.Ready(nc)
		s.deps.Intake = q.CheckingPublisher()
		s.deps.Queue = q
	})
	var all sync.WaitGroup
	for _, request := range [][3]string{
		{"POST", "/v1/submit?filename=a.exe", "MZ"},
		{"POST", "/v1/submit?filename=a.exe", strings.Repeat("x", 2_000_000)},
		{"POST", "/v1/submit?url=https://example.com/", ""},
		{"GET", "/v1/events", ""},
	} {
		all.Go(func() {
			r := s.do(request[0], request[1], strings.NewReader(request[2]))
			if r.status != 503 || r.header.Get("Retry-After") == "" || r.field(t, "type") != "urn:backburn:problem:unavailable" {
				t.Errorf("%s: %d %v %s", request[1], r.status, r.header, r.body)
			}
		})
	}

	all.Wait()
}

// A full queue accepts nothing, and the answer says when to retry.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	jobs, err := s.q.JetStream().Stream(t.Context(), s.q.JobsStream())
	if err != nil {
		t.Fatal(err)
	}

	small := jobs.CachedInfo().Config
	small.MaxBytes = 2000
	if _, err := s.q.JetStream().UpdateStream(t.Context(), small); err != nil {
		t.Fatal(err)
	}

	for range 10 {
		r := s.do("POST", "/v1/submit?filename=a.exe", strings.NewReader(strings.Repeat("x", 500)))
		switch {
		case r.status == 202:
			continue
		case r.status != 429 || r.header.Get("Retry-After") == "" || r.field(t, "type") != "urn:backburn:problem:full":
			t.Errorf("%d %v %s", r.status, r.header, r.body)
		}

		return
	}

	t.Error("the queue was never full")
}
