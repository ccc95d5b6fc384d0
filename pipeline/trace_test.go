package pipeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire/wildfiretest"
)

func (f *fixture) trace(q queue.TraceQuery) queue.Trace {
	f.t.Helper()
	t, err := f.q.Trace(f.t.Context(), q)
	if err != nil {
		f.t.Fatal(err)
	}
	return t
}

// stepNames lists the steps of a trace with their jobs.
func stepNames(t queue.Trace) string {
	var out []string
	for _, s := range t.Timeline {
		out = append(out, s.What+" "+s.Job)
	}
	return strings.Join(out, ", ")
}

func TestTraceOfQueuedJobs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.submitRaw("other", "proxy", "y.exe", "MZ other")
	f.submitRaw("a", "mail", "x.exe", "MZ a")
	for name, q := range map[string]queue.TraceQuery{
		"job": {Job: "a"}, "hash": {SHA256: strings.ToUpper(sha256Hex("MZ a"))}, "job of a source": {Job: "a", Source: "mail"},
	} {
		got := f.trace(q)
		if got.State != queue.TraceQueued || stepNames(got) != "queued a" || got.WaitsFor != "a worker: none is running" || got.Since.IsZero() {
			t.Errorf("by %s: %+v", name, got)
		}
	}
	if got := f.trace(queue.TraceQuery{Job: "a", Source: "proxy"}); got.State != queue.TraceUnknown {
		t.Errorf("among jobs of another source: %+v", got)
	}
	// The search is limited, and the result says so.
	if got := f.trace(queue.TraceQuery{Job: "a", Limit: 1}); got.State != queue.TraceUnknown || len(got.Notes) != 1 ||
		got.Notes[0] != "only 1 messages of BACKBURN_JOBS were read" {
		t.Errorf("with a limit of 1: %+v", got)
	}
}

func TestTraceOfWaitingJobs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, wildfiretest.WithDelay(time.Hour))
	f.startWorker()
	f.submitRaw("a", "mail", "x.exe", "MZ waits")
	f.submitRaw("b b", "mail", "y.exe", "MZ waits") // an ID that is not a valid key
	for got, end := (queue.Trace{}), time.Now().Add(30*time.Second); strings.Count(stepNames(got), "waiting ") != 2; {
		if time.Now().After(end) {
			t.Fatalf("in the end: %+v", got)
		}
		got = f.trace(queue.TraceQuery{SHA256: sha256Hex("MZ waits")})
	}
	limited := f.trace(queue.TraceQuery{SHA256: sha256Hex("MZ waits"), Limit: 1})
	if strings.Count(stepNames(limited), "waiting ") != 1 ||
		!slices.Contains(limited.Notes, "more than 1 jobs wait for it; the others are left out") {
		t.Errorf("with a limit of 1: %+v", limited)
	}
	for _, q := range []queue.TraceQuery{{SHA256: sha256Hex("MZ waits")}, {Job: "a"}, {Job: "b b"}} {
		got := f.trace(q)
		if got.State != queue.TraceWaiting || got.Sample == nil || got.Sample.State != "pending" ||
			!strings.HasPrefix(got.WaitsFor, "WildFire's verdict; it has had the contents since ") {
			t.Errorf("%+v: %+v", q, got)
		}
		if q.Job != "" && strings.Contains(strings.ReplaceAll(stepNames(got), " "+q.Job, ""), " a") {
			t.Errorf("%+v: steps of others: %s", q, stepNames(got))
		}
	}
}

func TestTraceOfFinishedJobs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	f.submitRaw("a", "mail", "malware.exe", "MZ over")
	f.submitRaw("bad", "mail", "notes.unsupported", "what is it")
	f.waitEvents(2)
	f.submitRaw("b", "proxy", "again.exe", "MZ over")
	if err := submit(t.Context(), f.q, pipeline.Job{
		ID: "link", Source: "proxy", Priority: pipeline.Normal, Version: 1, Kind: pipeline.KindURL, URL: "https://example.com/phishing",
	}); err != nil {
		t.Fatal(err)
	}
	f.waitEvents(4)
	f.waitIdle()
	for name, tc := range map[string]struct {
		query               queue.TraceQuery
		state, steps, known string
	}{
		"verdict": {queue.TraceQuery{Job: "a"}, queue.TraceDone, "submitted a, verdict a", "malware"},
		"cache":   {queue.TraceQuery{Job: "b"}, queue.TraceDone, "verdict b", "malware"},
		"hash":    {queue.TraceQuery{SHA256: sha256Hex("MZ over")}, queue.TraceDone, "submitted a, verdict a, verdict b", "malware"},
		"failed":  {queue.TraceQuery{Job: "bad"}, queue.TraceFailed, "failed bad, dead bad", ""},
		"link":    {queue.TraceQuery{URL: "https://example.com/phishing"}, queue.TraceDone, "submitted link, verdict link", "phishing"},
		"nobody":  {queue.TraceQuery{Job: "nobody"}, queue.TraceUnknown, "", ""},
	} {
		got := f.trace(tc.query)
		if got.State != tc.state || stepNames(got) != tc.steps || got.WaitsFor != "" {
			t.Errorf("%s: %s after %s, want %s after %s", name, got.State, stepNames(got), tc.state, tc.steps)
		}
		if tc.known != "" && (got.Sample == nil || got.Sample.Verdict != tc.known) {
			t.Errorf("%s: sample %+v, want %s", name, got.Sample, tc.known)
		}
	}
	if got := f.trace(queue.TraceQuery{Job: "bad"}); got.Sample == nil || got.Sample.Refusal == nil || got.Sample.Refusal.Reason != results.UnsupportedType {
		t.Errorf("the trace does not have the refusal: %+v", got.Sample)
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	ns := natsServer(t)
	nc := connect(t, ns)
	_, err := queue.Attach(t.Context(), nc, "", "backburn")
	if err == nil || !strings.Contains(err.Error(), "has `backburn run` or `worker` ever started here?") || !strings.Contains(err.Error(), `prefix "backburn"`) {
		t.Errorf("on an empty server: %v", err)
	}
	openQueue(t, nc)
	q, err := queue.Attach(t.Context(), nc, "", "backburn")
	if err != nil {
		t.Fatal(err)
	}
	if err := submitFile(t.Context(), q, pipeline.Job{ID: "a", Source: "mail", Priority: pipeline.Bulk, Filename: "x"}, 1, openString("x")); err != nil {
		t.Fatal(err)
	}
	st, err := q.Status(t.Context(), pipeline.DefaultConfig())
	if err != nil || st.Lanes[pipeline.Bulk].Queued != 1 {
		t.Errorf("%+v, %v", st.Lanes, err)
	}
}

// A dead letter is kept longer than the record of its job.
func TestTraceOfAnOldLetter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish("backburn.dead.unprocessable.mail", nats.Header{
		"Backburn-Job":     {"mail/old"},
		queue.HeaderReason: {"unprocessable"}, queue.HeaderError: {"what is it"},
	}, "MZ")
	got := f.trace(queue.TraceQuery{Job: "old"})
	if got.State != queue.TraceFailed || stepNames(got) != "dead old" || got.Since.IsZero() ||
		got.Timeline[0].Detail != "kept as dead letter 1, unprocessable: what is it" {
		t.Errorf("%+v", got)
	}
	if got := f.trace(queue.TraceQuery{Job: "never"}); got.State != queue.TraceUnknown {
		t.Errorf("of a job that never was: %+v", got)
	}
}

func TestCharge(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	done := make(chan error)
	for range 4 {
		go func() { done <- fleet.Charge(t.Context(), f.q.Control(), pipeline.Queries, 3, time.Now()) }()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	st, err := f.q.Status(t.Context(), pipeline.DefaultConfig())
	if err != nil || st.Queries.Used != 12 || st.Uploads.Used != 0 {
		t.Errorf("queries %+v, uploads %+v, %v", st.Queries, st.Uploads, err)
	}
}

// Reading the streams must be fast enough for a person who waits, and must not remove messages.
func BenchmarkTrace(b *testing.B) {
	f := newFixture(b)
	const n = 2000
	for i := range n {
		f.submitRaw(fmt.Sprint("job-", i), "mail", "x.exe", fmt.Sprint("MZ ", i))
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := f.trace(queue.TraceQuery{Job: fmt.Sprint("job-", n-1)}); got.State != queue.TraceQueued {
			b.Fatalf("%+v", got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/message")
}
