package pipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// Under "lookup" WildFire is asked about hashes, and contents are never uploaded, whatever the jobs
// ask for.
func TestLookupUploadsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.AskFirst = false
	f.cfg.Rules = []pipeline.Rule{{Source: "hr", Submit: pipeline.SubmitLookup}}
	f.wildfire.Know(wildfiretest.Known{SHA256: sha256Hex("MZ known"), Verdict: wildfire.Malware})
	f.startWorker()
	f.startWorker()

	f.submitRaw("known", "hr", "known.exe", "MZ known")
	f.submitRaw("unknown", "hr", "unknown.exe", "MZ unknown")
	f.publish("backburn.jobs.urgent.hr", nats.Header{
		nats.MsgIdHdr: {"wants more"}, queue.HeaderFilename: {"more.exe"}, queue.HeaderSubmit: {"always"},
	}, "MZ more")
	f.publish("backburn.jobs.normal.mail", nats.Header{
		nats.MsgIdHdr: {"wants less"}, queue.HeaderFilename: {"less.exe"}, strings.ToUpper(queue.HeaderSubmit): {"lookup"},
	}, "MZ less")
	f.publish("backburn.jobs.normal.mail", nats.Header{nats.MsgIdHdr: {"link"}, "Content-Type": {"application/json"}},
		`{"version":1,"kind":"url","url":"https://example.com/","submit":"lookup"}`)
	f.publish("backburn.jobs.normal.mail", nats.Header{nats.MsgIdHdr: {"nonsense"}, queue.HeaderFilename: {"x.exe"}, queue.HeaderSubmit: {"Never"}},
		"MZ nonsense")
	f.submitRaw("free", "mail", "free.exe", "MZ free")

	all := f.waitEvents(7)
	if ev := all.onlyOf(t, "known"); ev.Data.Verdict != "malware" || ev.Data.Basis != results.BasisLookup {
		t.Errorf("a known hash ends as %s by %s", ev.Outcome(), ev.Data.Basis)
	}
	for job, by := range map[string]string{
		"unknown": `policy[0] (source = "hr")`, "wants more": `policy[0] (source = "hr")`, "wants less": `the job (submit = "lookup")`, "link": `the job (submit = "lookup")`,
	} {
		ev := all.onlyOf(t, job)
		if ev.Outcome() != "withheld" || !strings.Contains(ev.Data.Error.Message, by) {
			t.Errorf("%s ends as %s: %+v", job, ev.Outcome(), ev.Data.Error)
		}
	}
	if ev := all.onlyOf(t, "nonsense"); ev.Outcome() != "invalid_job" {
		t.Errorf("a wish that cannot be read ends as %s", ev.Outcome())
	}

	if n := f.wildfire.Count(wildfire.OpSubmitFile) + f.wildfire.Count(wildfire.OpSubmitLink); n != 1 || f.wildfire.UploadCount(sha256Hex("MZ free")) != 1 {
		t.Errorf("%d submissions, want one", n)
	}
	if s := all.ofType(results.Submitted); len(s) != 1 || s[0].Data.Policy != "no rule matches" {
		t.Errorf("submitted events: %+v", s)
	}
	f.waitIdle()
}

// Under "never" WildFire gets not even the hash, even while it is asked about other files.
func TestNeverSendsNoHash(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Rules = []pipeline.Rule{{Source: "hr", Submit: pipeline.SubmitNever}}
	f.startWorker()
	f.submitRaw("a", "hr", "a.exe", "MZ a")
	f.publish("backburn.jobs.normal.mail", nats.Header{
		nats.MsgIdHdr: {"b"}, queue.HeaderFilename: {"b.exe"}, queue.HeaderSubmit: {"never"}, queue.HeaderSubmitReason: {"DLP, rule 7"},
	}, "MZ b")
	f.publish("backburn.jobs.normal.mail", nats.Header{
		nats.MsgIdHdr: {"wordy"}, queue.HeaderFilename: {"c.exe"}, queue.HeaderSubmitReason: {strings.Repeat("w", pipeline.MaxSubmitReason+1)},
	}, "MZ c")
	f.publish("backburn.jobs.normal.hr", nats.Header{nats.MsgIdHdr: {"link"}, "Content-Type": {"application/json"}},
		`{"version":1,"kind":"url","url":"https://example.com/malware"}`)

	all := f.waitEvents(4)
	if ev := all.onlyOf(t, "wordy"); ev.Outcome() != "invalid_job" {
		t.Errorf("too long a reason ends as %s", ev.Outcome())
	}
	if said := all.onlyOf(t, "b").Data.Error.Message; !strings.Contains(said, `the job (submit = "never": DLP, rule 7)`) {
		t.Errorf("the event of b says %s", said)
	}
	for _, job := range []string{"a", "b", "link"} {
		if ev := all.onlyOf(t, job); ev.Outcome() != "withheld" || ev.Data.ReceivedAt.IsZero() {
			t.Errorf("%s ends as %s", job, ev.Outcome())
		}
	}
	if n := f.wildfire.Count(""); n != 0 {
		t.Errorf("%d calls: %+v", n, f.wildfire.Calls())
	}
}

// WildFire is asked again about withheld contents. A later verdict is published for every job that
// ended as withheld, whether WildFire learned it elsewhere or another rule allowed the same
// contents.
func TestWithheldJobsGetALaterVerdict(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Recheck = time.Second
	f.cfg.Rules = []pipeline.Rule{{Source: "{hr,legal}", Submit: pipeline.SubmitLookup}}
	f.startWorker()
	f.submitRaw("a", "hr", "a.exe", "MZ later")
	f.submitRaw("b", "legal", "b.exe", "MZ later")
	f.submitRaw("c", "hr", "malware.exe", "MZ uploaded by another")
	f.waitEvents(3)

	f.wildfire.Know(wildfiretest.Known{SHA256: sha256Hex("MZ later"), Verdict: wildfire.Phishing})
	f.submitRaw("d", "mail", "malware.exe", "MZ uploaded by another")
	all := f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Changed)) >= 3 })
	for job, want := range map[string]string{"a": "phishing", "b": "phishing", "c": "malware"} {
		changed := all.ofJob(job).ofType(results.Changed)
		if len(changed) != 1 || changed[0].Data.Verdict != want || changed[0].Data.Error != nil || changed[0].Data.Source == "" {
			t.Errorf("the changed event of %s is %s", job, changed)
		}
		if ev := all.onlyOf(t, job); ev.Outcome() != "withheld" {
			t.Errorf("%s ended as %s", job, ev.Outcome())
		}
	}
	if n := f.wildfire.UploadCount(sha256Hex("MZ later")); n != 0 {
		t.Errorf("%d uploads of withheld contents", n)
	}

	// It is published once.
	deadline := time.Now().Add(30 * time.Second)
	for _, contents := range []string{"MZ later", "MZ uploaded by another"} {
		for {
			s, err := f.q.Ledger().Sample(t.Context(), sha256Hex(contents))
			if err != nil {
				t.Fatal(err)
			}
			if s.WithheldAt.IsZero() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%+v is not marked as published", s)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// A job that learned of a later verdict also learns of each further change.
func TestEachChangeOfAVerdictIsPublished(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Recheck = time.Second
	f.cfg.Rules = []pipeline.Rule{{Source: "hr", Submit: pipeline.SubmitLookup}}
	f.startWorker()
	f.submitRaw("a", "hr", "a.exe", "MZ twice")
	f.waitEvents(1)

	for i, verdict := range []wildfire.Verdict{wildfire.Benign, wildfire.Malware} {
		f.wildfire.Know(wildfiretest.Known{SHA256: sha256Hex("MZ twice"), Verdict: verdict})
		all := f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Changed)) > i })
		if ev := all.ofType(results.Changed)[i]; ev.Data.JobID != "a" || ev.Data.Verdict != verdict.String() {
			t.Errorf("change %d: %s is %s, want a: %s", i+1, ev.Data.JobID, ev.Data.Verdict, verdict)
		}
	}
}

// A later verdict on withheld contents is published even if nothing is rechecked and no report is
// fetched.
func TestWithheldJobsGetALaterVerdictWithoutRechecks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Recheck = 0
	f.cfg.Rules = []pipeline.Rule{{Source: "hr", Submit: pipeline.SubmitLookup}}
	f.startWorker()
	f.submitRaw("a", "hr", "malware.exe", "MZ malware")
	f.waitEvents(1)

	f.submitRaw("b", "mail", "malware.exe", "MZ malware")
	all := f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Changed)) >= 1 })
	if changed := all.ofJob("a").ofType(results.Changed); len(changed) != 1 || changed[0].Data.Verdict != "malware" {
		t.Errorf("the changed events are %s", changed)
	}
}

// Recently withheld contents cause no second query.
func TestWithheldIsRemembered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Rules = []pipeline.Rule{{Submit: pipeline.SubmitLookup}}
	f.startWorker()
	f.submitRaw("first", "hr", "a.exe", "MZ same")
	f.waitEvents(1)
	asked := f.wildfire.Count(wildfire.OpVerdicts)
	for i := range 20 {
		f.submitRaw(fmt.Sprint("again-", i), "hr", "a.exe", "MZ same")
	}
	if all := f.waitEvents(21); f.wildfire.Count(wildfire.OpVerdicts) != asked {
		t.Errorf("%d queries, then %d\n%s", asked, f.wildfire.Count(wildfire.OpVerdicts), all)
	}
}

// The audit trail: before contents are uploaded, the ledger has the rule that allows it; an event
// follows.
func TestUploadsAreRecordedWithTheirRule(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Rules = []pipeline.Rule{
		{Type: "application/vnd.microsoft.portable-executable", Submit: pipeline.SubmitAlways, Priority: pipeline.Bulk},
		{Submit: pipeline.SubmitNever},
	}
	const rule = `policy[0] (kind = "application/vnd.microsoft.portable-executable")`
	f.startWorker()
	f.submitRaw("program", "mail", "letter.txt", "MZ program")
	f.submitRaw("text", "mail", "program.exe", "just text")

	all := f.waitEvents(2)
	if ev := all.onlyOf(t, "text"); ev.Outcome() != "withheld" {
		t.Errorf("the text ends as %s", ev.Outcome())
	}
	if ev := all.ofJob("program").ofType(results.Submitted); len(ev) != 1 || ev[0].Data.Policy != rule {
		t.Errorf("submitted: %s", ev)
	}
	known, ok, err := f.q.Ledger().Known(t.Context(), sha256Hex("MZ program"))
	if err != nil || !ok || known.Rule != rule {
		t.Errorf("the ledger says %+v (%v)", known, err)
	}
	if n := f.wildfire.Count(wildfire.OpSubmitFile); n != 1 {
		t.Errorf("%d uploads", n)
	}
}

// Files of a rule get no more uploads than the rule's daily share. The rest wait for the next day,
// and use nothing of other shares.
func TestDailyShareOfARule(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now))
	f.cfg.UploadsPerDay = 100
	f.cfg.Rules = []pipeline.Rule{{Source: "bulk", Submit: pipeline.SubmitAlways, UploadsPerDay: 3}}
	f.startWorker(worker.WithClock(c.now))
	f.startWorker(worker.WithClock(c.now))
	for i := range 8 {
		f.submitRaw(fmt.Sprint("bulk-", i), "bulk", "b.exe", fmt.Sprint("MZ bulk ", i))
	}
	f.waitStatus(func(s queue.Status) bool { return s.Parked.Jobs == 5 })
	for i := range 10 {
		f.submitRaw(fmt.Sprint("mail-", i), "mail", "m.exe", fmt.Sprint("MZ mail ", i))
	}

	day := map[string]int{}
	for _, ev := range f.waitEvents(13).ofType(results.Submitted) {
		day[ev.Data.Source]++
	}
	if day["bulk"] != 3 || day["mail"] != 10 {
		t.Errorf("uploads on the first day: %v", day)
	}

	c.advance(12*time.Hour + 5*time.Minute)
	f.waitEvents(16)
	f.waitStatus(func(s queue.Status) bool { return s.Parked.Jobs == 2 })
	if n := f.wildfire.Count(wildfire.OpSubmitFile); n != 16 {
		t.Errorf("%d uploads in two days", n)
	}
}

// A job that waits because its rule's share is used up says so: the day's budget has plenty left.
func TestJobsParkedByARule(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.UploadsPerDay = 100
	f.cfg.Rules = []pipeline.Rule{{Source: "bulk", Submit: pipeline.SubmitAlways, UploadsPerDay: 1}}
	f.startWorker()
	f.submitRaw("a", "bulk", "a.exe", "MZ a")
	f.waitEvents(1)
	f.submitRaw("b", "bulk", "b.exe", "MZ b")
	st := f.waitStatus(func(s queue.Status) bool { return s.Parked.Jobs == 1 })
	if want := `today's uploads by policy[0] (source = "bulk") are used up`; st.Parked.Reason != want || !st.Parked.Until.Equal(st.Uploads.ResetsAt) {
		t.Errorf("parked for %q until %s, want %q until %s", st.Parked.Reason, st.Parked.Until, want, st.Uploads.ResetsAt)
	}

	f.waitAllAcknowledged() // until then the job is queued, too
	if got := f.trace(queue.TraceQuery{Job: "b", Source: "bulk"}); got.WaitsFor != "the uploads that its policy rule allows in a day; the next day begins at 00:00 UTC" {
		t.Errorf("it waits for %q", got.WaitsFor)
	}
}

// A recheck that becomes due while there is no leader is made by the next one.
func TestARecheckThatBecomesDueWithoutALeader(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Recheck = time.Second
	f.cfg.Rules = []pipeline.Rule{{Source: "hr", Submit: pipeline.SubmitLookup}}
	c := &clock{}
	stop := f.startWorker(worker.WithClock(c.now))
	f.submitRaw("a", "hr", "a.exe", "MZ later")
	f.waitEvents(1)
	stop()

	f.wildfire.Know(wildfiretest.Known{SHA256: sha256Hex("MZ later"), Verdict: wildfire.Phishing})
	c.advance(5 * time.Minute)
	f.startWorker(worker.WithClock(c.now))
	f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Changed)) == 1 })
}
