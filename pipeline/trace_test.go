package pipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/results"
	"backburn/wildfire/wildfiretest"
)

func (f *fixture) trace(q pipeline.TraceQuery) pipeline.Trace {
	f.t.Helper()
	t, err := f.q.Trace(f.t.Context(), q)
	if err != nil {
		f.t.Fatal(err)
	}
	return t
}

// whats lists the steps of a trace, each with its job.
func whats(t pipeline.Trace) string {
	var out []string
	for _, s := range t.Steps {
		out = append(out, s.What+" "+s.Job)
	}
	return strings.Join(out, ", ")
}

func TestTraceOfWhatIsQueued(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.raw("other", "proxy", "y.exe", "MZ other")
	f.raw("a", "mail", "x.exe", "MZ a")
	for name, q := range map[string]pipeline.TraceQuery{
		"job": {Job: "a"}, "hash": {SHA256: strings.ToUpper(sha("MZ a"))}, "job of a source": {Job: "a", Source: "mail"},
	} {
		got := f.trace(q)
		if got.State != pipeline.TraceQueued || whats(got) != "queued a" || got.WaitsFor != "a worker: none is running" || got.Since.IsZero() {
			t.Errorf("by %s: %+v", name, got)
		}
	}
	if got := f.trace(pipeline.TraceQuery{Job: "a", Source: "proxy"}); got.State != pipeline.TraceUnknown {
		t.Errorf("among jobs of another source: %+v", got)
	}
	// The search has its bound, and says so.
	if got := f.trace(pipeline.TraceQuery{Job: "a", Limit: 1}); got.State != pipeline.TraceUnknown || len(got.Notes) != 1 ||
		got.Notes[0] != "only 1 messages of BACKBURN_JOBS were read" {
		t.Errorf("with a limit of 1: %+v", got)
	}
}

func TestTraceOfWhatWaits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, wildfiretest.WithDelay(time.Hour))
	f.work()
	f.raw("a", "mail", "x.exe", "MZ waits")
	f.raw("b b", "mail", "y.exe", "MZ waits") // an id that is no key
	for got, end := (pipeline.Trace{}), time.Now().Add(30*time.Second); strings.Count(whats(got), "waiting ") != 2; {
		if time.Now().After(end) {
			t.Fatalf("in the end: %+v", got)
		}
		got = f.trace(pipeline.TraceQuery{SHA256: sha("MZ waits")})
	}
	for _, q := range []pipeline.TraceQuery{{SHA256: sha("MZ waits")}, {Job: "a"}, {Job: "b b"}} {
		got := f.trace(q)
		if got.State != pipeline.TraceWaiting || got.Sample == nil || got.Sample.State != "pending" ||
			!strings.HasPrefix(got.WaitsFor, "WildFire's verdict; it has the contents since ") {
			t.Errorf("%+v: %+v", q, got)
		}
		if q.Job != "" && strings.Contains(strings.ReplaceAll(whats(got), " "+q.Job, ""), " a") {
			t.Errorf("%+v: steps of others: %s", q, whats(got))
		}
	}
}

func TestTraceOfWhatIsOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.work()
	f.raw("a", "mail", "malware.exe", "MZ over")
	f.raw("bad", "mail", "notes.unsupported", "what is it")
	f.events(2)
	f.raw("b", "proxy", "again.exe", "MZ over")
	if err := f.q.Publisher().Publish(t.Context(), pipeline.Job{
		ID: "link", Source: "proxy", Priority: pipeline.Normal, Version: 1, Kind: pipeline.KindURL, URL: "https://example.com/phishing",
	}); err != nil {
		t.Fatal(err)
	}
	f.events(4)
	f.idle()
	for name, tc := range map[string]struct {
		query               pipeline.TraceQuery
		state, steps, known string
	}{
		"verdict": {pipeline.TraceQuery{Job: "a"}, pipeline.TraceDone, "submitted a, verdict a", "malware"},
		"cache":   {pipeline.TraceQuery{Job: "b"}, pipeline.TraceDone, "verdict b", "malware"},
		"hash":    {pipeline.TraceQuery{SHA256: sha("MZ over")}, pipeline.TraceDone, "submitted a, verdict a, verdict b", "malware"},
		"failed":  {pipeline.TraceQuery{Job: "bad"}, pipeline.TraceFailed, "failed bad, dead bad", ""},
		"link":    {pipeline.TraceQuery{URL: "https://example.com/phishing"}, pipeline.TraceDone, "submitted link, verdict link", "phishing"},
		"nobody":  {pipeline.TraceQuery{Job: "nobody"}, pipeline.TraceUnknown, "", ""},
	} {
		got := f.trace(tc.query)
		if got.State != tc.state || whats(got) != tc.steps || got.WaitsFor != "" {
			t.Errorf("%s: %s after %s, want %s after %s", name, got.State, whats(got), tc.state, tc.steps)
		}
		if tc.known != "" && (got.Sample == nil || got.Sample.Verdict != tc.known) {
			t.Errorf("%s: sample %+v, want %s", name, got.Sample, tc.known)
		}
	}
	if got := f.trace(pipeline.TraceQuery{Job: "bad"}); got.Sample == nil || got.Sample.Refusal == nil || got.Sample.Refusal.Reason != results.UnsupportedType {
		t.Errorf("the refusal is not told: %+v", got.Sample)
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	ns := natsServer(t)
	nc := connect(t, ns)
	_, err := pipeline.Attach(t.Context(), nc, "backburn")
	if err == nil || !strings.Contains(err.Error(), "has `backburn run` or `worker` ever started here?") || !strings.Contains(err.Error(), `prefix "backburn"`) {
		t.Errorf("on an empty server: %v", err)
	}
	openQueue(t, nc)
	q, err := pipeline.Attach(t.Context(), nc, "backburn")
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Publisher().PublishFile(t.Context(), pipeline.Job{ID: "a", Source: "mail", Priority: pipeline.Bulk, Filename: "x"}, 1, reader("x")); err != nil {
		t.Fatal(err)
	}
	st, err := q.Status(t.Context(), pipeline.DefaultConfig())
	if err != nil || st.Lanes[pipeline.Bulk].Waiting != 1 {
		t.Errorf("%+v, %v", st.Lanes, err)
	}
}

// A dead letter is kept longer than the memory of its job.
func TestTraceOfAnOldLetter(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish("backburn.dead.unprocessable.mail", nats.Header{
		pipeline.HeaderJob: {"old"}, pipeline.HeaderSubject: {"backburn.jobs.normal.mail"}, pipeline.HeaderFilename: {"x.exe"},
		pipeline.HeaderReason: {"unprocessable"}, pipeline.HeaderError: {"what is it"},
	}, "MZ")
	got := f.trace(pipeline.TraceQuery{Job: "old"})
	if got.State != pipeline.TraceFailed || whats(got) != "dead old" || got.Since.IsZero() ||
		got.Steps[0].Detail != "kept as dead letter 1, unprocessable: what is it" {
		t.Errorf("%+v", got)
	}
	if got := f.trace(pipeline.TraceQuery{Job: "never"}); got.State != pipeline.TraceUnknown {
		t.Errorf("of a job that never was: %+v", got)
	}
}

func TestCharge(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	done := make(chan error)
	for range 4 {
		go func() { done <- f.q.Charge(t.Context(), pipeline.Queries, 3) }()
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

// Reading through the streams has to be quick enough for a person, and takes nothing away.
func BenchmarkTrace(b *testing.B) {
	f := newFixture(b)
	const n = 2000
	for i := range n {
		f.raw(fmt.Sprint("job-", i), "mail", "x.exe", fmt.Sprint("MZ ", i))
	}
	b.ReportAllocs()
	for b.Loop() {
		if got := f.trace(pipeline.TraceQuery{Job: fmt.Sprint("job-", n-1)}); got.State != pipeline.TraceQueued {
			b.Fatalf("%+v", got)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/message")
}
