package pipeline_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backburn/internal/testkit/logbuf"
	"backburn/internal/testkit/schemas"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/results/schema"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// reportsOf are the report events of a source.
func (es events) reportsOf(source string) events {
	var out events
	for _, e := range es.ofType(results.Reported) {
		if e.Data.Source == source {
			out = append(out, e)
		}
	}

	return out
}

// countRequests counts the requests about a sample, by kind of document.
func (f *fixture) countRequests(op wildfire.Op, sha256 string) int {
	n := 0
	for _, c := range f.wildfire.Calls() {
		if c.Op == op && c.SHA256 == sha256 {
			n++
		}
	}

	return n
}

// Malware leads to one report event with its indicators for each source, and the documents are
// kept.
func TestReportsAreFetchedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.ReportVerdicts = []string{"malware"}
	f.cfg.ReportFormats = []string{"xml", "pdf"}
	f.cfg.ReportPCAP = true
	f.startWorker()
	f.startWorker()
	f.submitRaw("first", "mail", "malware.exe", "MZ bad")
	f.submitRaw("same", "mail", "malware2.exe", "MZ bad")
	f.submitRaw("other", "web", "malware.exe", "MZ bad")
	f.submitRaw("good", "mail", "good.exe", "MZ good")
	f.submitRaw("c2", "mail", "c2.exe", "MZ c2")

	all := f.waitEventsUntil(func(es events) bool { return len(es.final()) == 5 && len(es.ofType(results.Reported)) >= 2 })
	sum := sha256Hex("MZ bad")
	want := wildfiretest.IndicatorsOf(sum)
	for _, source := range []string{"mail", "web"} {
		told := all.reportsOf(source)
		if len(told) != 1 {
			t.Fatalf("%s got %d report events\n%s", source, len(told), all)
		}
		ev := told[0]
		r := ev.Data.Report
		if ev.Data.Verdict != "malware" || ev.Data.SHA256 != sum || ev.Data.Filename == "" || r == nil || r.Status != results.ReportAvailable {
			t.Fatalf("%s got %+v", source, ev)
		}
		if !slices.Contains(r.Domains, want.Domain) || !slices.Contains(r.IPs, want.IP) || !slices.Contains(r.URLs, want.URL) ||
			!slices.Contains(r.UserAgents, want.UserAgent) || len(r.Dropped) != 1 || r.Dropped[0].SHA256 != want.DroppedSHA256 ||
			!slices.ContainsFunc(r.Behaviors, func(b results.ReportBehavior) bool { return b.Text == want.Behavior && b.Severity == 0.75 }) {
			t.Errorf("%s got %+v", source, r)
		}
		if !slices.Equal(r.Kept, []string{"xml", "pdf", "pcap"}) || r.Truncated {
			t.Errorf("kept: %v, truncated: %v", r.Kept, r.Truncated)
		}
		body, err := ev.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas.Validate(t, schemas.Compile(t, schema.Event), body); err != nil {
			t.Error(err)
		}
	}
	if first := all.reportsOf("mail")[0].Data.JobID; first != all.ofType(results.Verdict).firstEndedJob(sum, "mail") {
		t.Errorf("the event is about %s", first)
	}

	reports, err := f.q.Streams().Reports(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for document, begin := range map[string]string{"xml": "<?xml", "pdf": "%PDF-", "pcap": "\xd4\xc3\xb2\xa1"} {
		body, _, err := reports.Read(t.Context(), sum, document)
		if err != nil || !strings.HasPrefix(string(body), begin) {
			t.Errorf("%s: %q, %v", document, body[:min(len(body), 20)], err)
		}
	}

	// A later source gets its report event from the documents that are kept.
	f.submitRaw("later", "ftp", "malware.exe", "MZ bad")
	f.submitRaw("later too", "mail", "malware.exe", "MZ bad")
	all = f.waitEventsUntil(func(es events) bool { return len(es.final()) == 7 && len(es.reportsOf("ftp")) == 1 })
	if r := all.reportsOf("ftp")[0].Data; r.JobID != "later" || !slices.Contains(r.Report.Domains, want.Domain) {
		t.Errorf("the later event is %+v", r)
	}
	if n := len(all.ofType(results.Reported)); n != 3 {
		t.Errorf("%d report events, want one for each source\n%s", n, all)
	}
	if n := f.countRequests(wildfire.OpReport, sum); n != 2 {
		t.Errorf("%d documents were requested, want the report and the PDF", n)
	}
	for _, other := range []string{"MZ good", "MZ c2"} {
		if n := f.countRequests(wildfire.OpReport, sha256Hex(other)); n != 0 {
			t.Errorf("%d requests for the report on %q, which no rule wants", n, other)
		}
	}
}

// firstEndedJob is the first job of a source with these contents that ended.
func (es events) firstEndedJob(sum, source string) string {
	for _, e := range es {
		if e.Data.SHA256 == sum && e.Data.Source == source {
			return e.Data.JobID
		}
	}

	return ""
}

// A report that is not complete yet is requested again. One that never appears is published as
// missing once, and not requested any more.
func TestMissingReports(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.ReportVerdicts = []string{"malware"}
	f.cfg.Deadline = 10 * time.Second
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpReport, Times: 2, Fault: wildfiretest.Fault{Status: 404}})
	f.startWorker()
	f.submitRaw("late", "mail", "malware.exe", "MZ late")
	f.waitEventsUntil(func(es events) bool { return len(es.ofJob("late").ofType(results.Reported)) == 1 })
	if n := f.wildfire.Count(wildfire.OpReport); n != 3 {
		t.Errorf("%d requests for a report that exists at the third", n)
	}
	f.submitRaw("never", "mail", "reportless.exe", "MZ never")

	all := f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Reported)) == 2 })
	late, never := all.ofJob("late").ofType(results.Reported), all.ofJob("never").ofType(results.Reported)
	if len(late) != 1 || late[0].Data.Report.Status != results.ReportAvailable {
		t.Errorf("late: %s", late)
	}
	if len(never) != 1 || never[0].Data.Report.Status != results.ReportMissing || never[0].Data.Verdict != "malware" {
		t.Fatalf("never: %s", never)
	}
	body, err := never[0].MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Validate(t, schemas.Compile(t, schema.Event), body); err != nil {
		t.Error(err)
	}

	asked := f.countRequests(wildfire.OpReport, sha256Hex("MZ never"))
	if asked < 2 || asked > 12 {
		t.Errorf("%d requests for a report that never exists", asked)
	}
	s := f.waitReportRecorded(sha256Hex("MZ never"))
	if s.Report.State != results.ReportMissing || !slices.Equal(s.Report.Published, []string{"mail"}) {
		t.Errorf("the ledger says %+v", s.Report)
	}

	// The next leader does not request it either.
	f.startWorker()
	f.submitRaw("again", "mail", "reportless.exe", "MZ never")
	f.submitRaw("other", "mail", "malware.exe", "MZ other")
	f.waitEventsUntil(func(es events) bool { return len(es.ofJob("other").ofType(results.Reported)) == 1 })
	if n := f.countRequests(wildfire.OpReport, sha256Hex("MZ never")); n != asked {
		t.Errorf("%d more requests for a report that was given up", n-asked)
	}
}

// waitReportRecorded waits until the ledger has recorded something about a report.
func (f *fixture) waitReportRecorded(sum string) pipeline.Sample {
	f.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		s, err := f.q.Ledger().Sample(f.t.Context(), sum)
		if err != nil {
			f.t.Fatal(err)
		}
		if s.Report != nil {
			return s.Sample
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("nothing is recorded: %+v", s)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A source whose job has not ended yet gets its report afterwards, and no warning is logged about
// the wait.
func TestReportsWaitForTheEndOfTheJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.ReportVerdicts = []string{"malware"}
	var log logbuf.Buffer
	f.startWorker(worker.WithLogger(zerolog.New(&log)))
	f.submitRaw("first", "mail", "malware.exe", "MZ owed")
	f.waitEventsUntil(func(es events) bool { return len(es.reportsOf("mail")) == 1 })
	sum := sha256Hex("MZ owed")
	f.waitReportRecorded(sum)

	_, err := f.q.Ledger().ChangeSample(t.Context(), sum, func(s *pipeline.Sample) bool { return s.OweReport("web", time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), "has not ended yet"); {
		if time.Now().After(deadline) {
			t.Fatalf("the poller did not look for the job:\n%s", log.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.submitRaw("late", "web", "malware.exe", "MZ owed")
	all := f.waitEventsUntil(func(es events) bool { return len(es.reportsOf("web")) == 1 })

	if got := all.reportsOf("web")[0].Data.JobID; got != "late" {
		t.Errorf("the event is about %s", got)
	}
	if strings.Contains(log.String(), "cannot fetch or publish a report") {
		t.Errorf("a warning was logged:\n%s", log.String())
	}
}

// Verdicts come first: reports use only the part of the day's budget that verdicts do not need.
func TestReportsUseSpareBudget(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now))
	f.cfg.QueriesPerDay = 480
	f.cfg.ReservePercent = 10
	f.cfg.ReportVerdicts = []string{"malware"}

	// At noon 48 are reserved, and three quarters of half a day's 480 are kept for verdicts. Of the
	// rest this is already used:
	if err := fleet.Charge(t.Context(), f.q.Control(), pipeline.Queries, 240, c.now()); err != nil {
		t.Fatal(err)
	}
	const (
		spare = 480 - 48 - 180 - 240
		known = 40
		fresh = 5
	)
	for i := range known {
		f.wildfire.Know(wildfiretest.Known{SHA256: sha256Hex(fmt.Sprint("MZ bad ", i)), Verdict: wildfire.Malware})
	}
	for i := range known {
		f.submitRaw(fmt.Sprint("bad-", i), "mail", "bad.exe", fmt.Sprint("MZ bad ", i))
	}
	f.startWorker(worker.WithClock(c.now), worker.WithTick(20*time.Millisecond)) // all are there, so few queries are needed
	f.waitEventsUntil(func(es events) bool { return len(es.final()) == known && len(es.ofType(results.Reported)) > 0 })

	// No budget is spare now, and verdicts are still given.
	f.waitStatus(func(st queue.Status) bool { return st.Queries.Used >= 240+spare })
	for i := range fresh {
		f.submitRaw(fmt.Sprint("new-", i), "mail", "new.exe", fmt.Sprint("MZ new ", i))
	}
	all := f.waitEvents(known + fresh)
	if asked := f.wildfire.Count(wildfire.OpReport); asked == 0 || asked > spare || len(all.ofType(results.Reported)) > asked {
		t.Errorf("%d requests for reports, want up to %d; %d events", asked, spare, len(all.ofType(results.Reported)))
	}
	st, err := f.q.Status(t.Context(), f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n := st.Queries.By["reports"]; n == 0 || n > spare {
		t.Errorf("queries by %v", st.Queries.By)
	}

	// At the end of the day, reports may use what verdicts did not need.
	c.advance(11*time.Hour + 30*time.Minute)
	f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Reported)) == known })
	if asked := f.wildfire.Count(wildfire.OpReport); asked != known {
		t.Errorf("%d requests for %d reports", asked, known)
	}
}

// While the budget is used up, no report is requested.
func TestNoBudgetNoReports(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]struct {
		spending pipeline.Spending
		want     int
	}{
		"new day":           {pipeline.Spending{Limit: 1000, Reserve: 100, DayLeft: 1}, 150},
		"noon, unused":      {pipeline.Spending{Limit: 1000, Reserve: 100, DayLeft: .5}, 525},
		"noon, as expected": {pipeline.Spending{Limit: 1000, Reserve: 100, Used: 500, DayLeft: .5}, 25},
		"noon, busy":        {pipeline.Spending{Limit: 1000, Reserve: 100, Used: 600, DayLeft: .5}, 0},
		"evening, unused":   {pipeline.Spending{Limit: 1000, Reserve: 100, DayLeft: 0}, 900},
		"used up":           {pipeline.Spending{Limit: 1000, Reserve: 100, Used: 1000, DayLeft: 0}, 0},
		"tiny":              {pipeline.Spending{Limit: 1, DayLeft: 1}, 0},
	} {
		if got := s.spending.Spare(); got != s.want {
			t.Errorf("%s: %d to spare, want %d", name, got, s.want)
		}
	}
}

// An event stays within its bounds, whatever the report contains.
func TestReportEventsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(`<é"&\`, 290)
	var r wildfire.Report
	for i := range wildfire.MaxReportEntries {
		text := fmt.Sprint(i, long)
		r.Behaviors = append(r.Behaviors, wildfire.Behavior{Text: text, Details: text})
		r.Domains = append(r.Domains, fmt.Sprint("d", i, ".example.net"))
		r.Dropped = append(r.Dropped, wildfire.DroppedFile{Path: text, SHA256: sha256Hex(text)})
		r.RegistryKeys = append(r.RegistryKeys, wildfire.RegistryKey{Key: text, Data: text})
	}
	final := results.Event{Type: results.Verdict, Data: results.Data{
		JobID:       "j",
		Source:      "mail",
		Verdict:     "malware",
		SHA256:      sha256Hex("x"),
		Size:        1,
		ReceivedAt:  time.Now(),
		DecidedAt:   time.Now(),
		Basis:       results.BasisUpload,
		VerdictCode: new(int),
	}}
	s := schemas.Compile(t, schema.Event)

	for _, limit := range []int{results.MaxReportBytes, 20 << 10, 1 << 10} {
		ev := pipeline.ReportEvent(final, pipeline.AvailableReport(r, nil), time.Now(), limit)
		body, err := ev.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		report, err := json.Marshal(ev.Data.Report)
		if err != nil || len(report) > limit || !ev.Data.Report.Truncated {
			t.Errorf("%d bytes of %d, truncated: %v (%v)", len(report), limit, ev.Data.Report.Truncated, err)
		}
		if err := schemas.Validate(t, s, body); err != nil {
			t.Error(err)
		}
	}

	small := wildfire.Report{Malware: "yes", Domains: r.Domains[:results.MaxReportEntries]}
	if ev := pipeline.ReportEvent(final, pipeline.AvailableReport(small, nil), time.Now(), 1<<20); ev.Data.Report.Truncated || len(ev.Data.Report.Domains) != results.MaxReportEntries {
		t.Errorf("data within the bounds was left out: %+v", ev.Data.Report)
	}
	many := wildfire.Report{Malware: "yes", Domains: r.Domains}
	if ev := pipeline.ReportEvent(final, pipeline.AvailableReport(many, nil), time.Now(), 1<<20); !ev.Data.Report.Truncated || len(ev.Data.Report.Domains) != results.MaxReportEntries {
		t.Errorf("%d domains", len(ev.Data.Report.Domains))
	}
}
