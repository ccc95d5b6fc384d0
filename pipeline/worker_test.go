package pipeline_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"backburn/internal/testkit"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestEveryJobGetsItsVerdict(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	f.submitRaw("a", "mail", "letter.doc", "harmless")
	f.submitRaw("b", "mail", "malware.exe", "MZ bad")
	f.submitRaw("c", "proxy", "page.html", "wildfire-test:phishing")
	f.submitRaw("d", "proxy", "odd.exe", "MZ odd")

	all := f.waitEvents(4)
	for job, want := range map[string]string{"a": "benign", "b": "malware", "c": "phishing", "d": "unrecognised"} {
		ev := all.onlyOf(t, job)
		if ev.Type != results.Verdict || ev.Data.Verdict != want || ev.Data.Basis != results.BasisUpload {
			t.Errorf("job %s: %s %s by %s, want %s by upload", job, ev.Type, ev.Data.Verdict, ev.Data.Basis, want)
		}
		if n := len(all.ofJob(job)); n != 2 {
			t.Errorf("job %s has %d events, want submitted and verdict", job, n)
		}
		if n := f.wildfire.UploadCount(ev.Data.SHA256); n != 1 {
			t.Errorf("job %s: %d uploads", job, n)
		}
	}
}

func TestEqualContentsAreUploadedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	f.startWorker()
	const n = 40
	for i := range n {
		f.submitRaw(fmt.Sprint("job-", i), "mail", fmt.Sprintf("invoice-%d.exe", i), "MZ the same")
	}
	all := f.waitEvents(n)
	uploads := 0
	for i := range n {
		ev := all.onlyOf(t, fmt.Sprint("job-", i))
		if ev.Data.Basis == results.BasisUpload {
			uploads++
		}
		if got := f.wildfire.UploadCount(ev.Data.SHA256); got != 1 {
			t.Fatalf("%d uploads of the same contents", got)
		}
	}
	if uploads != 1 {
		t.Errorf("%d jobs say that they uploaded", uploads)
	}
}

func TestHashesThatWildFireKnowsAreNotUploaded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	sum := sha256.Sum256([]byte("MZ known"))
	f.wildfire.Know(wildfiretest.Known{SHA256: hex.EncodeToString(sum[:]), Verdict: wildfire.Malware})
	f.startWorker()
	f.submitRaw("a", "mail", "x.exe", "MZ known")
	if ev := f.waitEvents(1).onlyOf(t, "a"); ev.Data.Verdict != "malware" || ev.Data.Basis != results.BasisLookup {
		t.Errorf("%s by %s, want malware by lookup", ev.Data.Verdict, ev.Data.Basis)
	}
	f.submitRaw("b", "mail", "y.exe", "MZ known")
	if ev := f.waitEvents(2).onlyOf(t, "b"); ev.Data.Verdict != "malware" || ev.Data.Basis != results.BasisCache {
		t.Errorf("%s by %s, want malware by cache", ev.Data.Verdict, ev.Data.Basis)
	}
	if n := f.wildfire.Count(wildfire.OpSubmitFile); n != 0 {
		t.Errorf("%d uploads", n)
	}
}

// A finished job stays finished. The server forgets the IDs of consumed jobs when it restarts; the
// ledger does not.
func TestARepeatedJobDoesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	f.submitRaw("a", "mail", "x.exe", "MZ a")
	f.submitRaw("bad", "mail", "unsupported.xyz", "what is it")
	f.waitEvents(2)
	for range 2 {
		for _, job := range [][3]string{{"a", "x.exe", "MZ a"}, {"bad", "unsupported.xyz", "what is it"}} {
			f.publish("backburn.jobs.normal.mail", nats.Header{
				nats.MsgIdHdr: {job[0]}, queue.HeaderFilename: {job[1]},
			}, job[2])
		}
	}
	f.submitRaw("end", "mail", "z.exe", "MZ z")
	f.waitEvents(3)
	f.waitIdle()
	all := f.waitEvents(3)
	all.onlyOf(t, "a")
	all.onlyOf(t, "bad")
	if n := f.wildfire.Count(wildfire.OpSubmitFile); n != 3 {
		t.Errorf("%d uploads, want 3", n)
	}
}

// A job may be submitted again because the ledger lost its record. It does not end a second time,
// even if its file was moved away when it ended.
func TestARepeatedJobEndsOnceWithoutItsRecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	dir := t.TempDir()
	f.cfg.Roots["mail"] = dir
	stop := f.startWorker()
	job := func(id string) pipeline.Job {
		return pipeline.Job{
			ID:         id,
			Version:    1,
			Kind:       pipeline.KindFile,
			Filename:   "x.exe",
			Content:    &pipeline.Content{Path: id},
			ReceivedAt: time.Now().UTC(),
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "moved"), []byte("MZ"), 0o600); err != nil {
		t.Fatal(err)
	}
	moved := job("moved")
	f.submitJob("mail", moved)
	f.waitEvents(1)
	f.waitIdle()
	stop()

	for _, name := range []string{f.q.LedgerStream(), f.q.JobsStream()} {
		s, err := f.q.JetStream().Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	f.startWorker()
	for _, again := range []pipeline.Job{moved, job("removed before it ended")} {
		again.Source = "mail"
		again.Priority = pipeline.Normal
		again.Repeated = true
		if err := submit(t.Context(), f.q, again); err != nil {
			t.Fatal(err)
		}
	}

	f.waitEvents(2)
	f.waitIdle()
	all := f.waitEvents(2)
	if ev := all.onlyOf(t, "moved"); ev.Type != results.Verdict {
		t.Errorf("the job ended %s", ev.Outcome())
	}
	if ev := all.onlyOf(t, "removed before it ended"); ev.Outcome() != string(results.ContentMissing) {
		t.Errorf("a repeated job without an end ended %s", ev.Outcome())
	}
}

// The record of a sample may expire before that of a job, and a publisher may use an ID twice.
func TestARepeatedIDWithOtherContentsDoesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	f.submitRaw("a", "mail", "x.exe", "MZ a")
	f.waitEvents(1)
	f.publish("backburn.jobs.normal.mail", nats.Header{
		nats.MsgIdHdr: {"a"}, queue.HeaderFilename: {"y.exe"},
	}, "MZ of another")
	f.submitRaw("end", "mail", "z.exe", "MZ z")
	f.waitEvents(2)
	f.waitIdle()
	if all := f.waitEvents(2); len(all.ofJob("a")) != 2 {
		t.Errorf("job a has these events, want submitted and verdict:\n%s", all.ofJob("a"))
	}
	if n := f.wildfire.Count(wildfire.OpSubmitFile); n != 2 {
		t.Errorf("%d uploads, want 2", n)
	}
}

func TestRefusedContentsFail(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.MaxFileSize = 1000
	f.startWorker()
	cases := map[string]struct {
		body   string
		reason results.Reason
		status int
	}{
		"unsupported.xyz":   {"MZ 1", results.UnsupportedType, 418},
		"unprocessable.exe": {"MZ 2", results.Unprocessable, 422},
		"unstorable.exe":    {"MZ 3", results.Unprocessable, 513},
		"empty.exe":         {"", results.Empty, 0},
		"big.exe":           {strings.Repeat("x", 1001), results.TooLarge, 0},
		"altered.exe":       {"MZ 4", results.ContentChanged, 200},
	}
	for name, c := range cases {
		f.submitRaw(name, "mail", name, c.body)
	}
	f.submitRaw("exact", "mail", "exact.exe", "MZ"+strings.Repeat("x", 998))
	all := f.waitEvents(len(cases) + 1)
	for name, c := range cases {
		ev := all.onlyOf(t, name)
		if ev.Type != results.Failed || ev.Data.Error.Reason != c.reason || ev.Data.Error.HTTPStatus != c.status {
			t.Errorf("%s: %s %+v, want failed with %s and status %d", name, ev.Type, ev.Data.Error, c.reason, c.status)
		}
	}
	if ev := all.onlyOf(t, "exact"); ev.Type != results.Verdict {
		t.Errorf("a file of exactly the limit: %s %+v", ev.Type, ev.Data.Error)
	}
	st, err := f.q.Status(t.Context(), f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"unsupported_type": 1, "unprocessable": 2, "empty": 1, "too_large": 1, "content_changed": 1}
	if diff := cmp.Diff(want, st.Dead); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

func TestFaultsAreRetried(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Name: "sick", Fault: wildfiretest.Fault{Status: 500}})
	f.startWorker()
	for _, name := range []string{"busy.exe", "flaky.exe", "unanswered.exe", "garbled.exe", "sick.exe"} {
		f.submitRaw(name, "mail", name, "MZ "+name)
	}
	all := f.waitEvents(5)
	for _, name := range []string{"busy.exe", "flaky.exe", "unanswered.exe", "garbled.exe"} {
		if ev := all.onlyOf(t, name); ev.Data.Verdict != "benign" {
			t.Errorf("%s: %s %+v", name, ev.Type, ev.Data.Error)
		}
	}
	for _, name := range []string{"unanswered.exe", "garbled.exe"} {
		ev := all.onlyOf(t, name)
		if n := f.wildfire.UploadCount(ev.Data.SHA256); n != 1 {
			t.Errorf("%s: uploaded %d times, though WildFire had it", name, n)
		}
	}
	ev := all.onlyOf(t, "sick.exe")
	if ev.Type != results.Failed || ev.Data.Error.Reason != results.AttemptsExhausted || ev.Data.Attempts != f.cfg.MaxAttempts {
		t.Errorf("sick.exe: %s, %d attempts, %+v", ev.Type, ev.Data.Attempts, ev.Data.Error)
	}
}

// An upload whose answer was lost is not repeated just because WildFire takes a moment to list it.
func TestAnUnansweredUploadIsNotRepeated(t *testing.T) {
	t.Parallel()
	f := newFixture(t, wildfiretest.WithUnknownFor(time.Second), wildfiretest.WithDelay(1200*time.Millisecond))
	f.cfg.FirstPoll, f.cfg.MaxPoll = 1100*time.Millisecond, 2*time.Second
	f.startWorker()
	f.submitRaw("a", "mail", "unanswered.exe", "MZ x")
	if ev := f.waitEvents(1).onlyOf(t, "a"); ev.Data.Verdict != "benign" || ev.Data.Basis != results.BasisUpload {
		t.Errorf("%s by %s, want benign by upload", ev.Outcome(), ev.Data.Basis)
	}
	if n := f.wildfire.UploadCount(sha256Hex("MZ x")); n != 1 {
		t.Errorf("%d uploads, want 1", n)
	}
}

func TestSamplesThatWildFireLosesAreResubmittedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Deadline = 3 * time.Second
	f.startWorker()
	f.submitRaw("error", "mail", "error.exe", "MZ e")
	f.submitRaw("never", "mail", "never.exe", "MZ n")
	all := f.waitEvents(2)
	ev := all.onlyOf(t, "error")
	if ev.Type != results.Failed || ev.Data.Error.Reason != results.AnalysisError {
		t.Errorf("%s %+v, want failed with analysis_error", ev.Type, ev.Data.Error)
	}
	if n := f.wildfire.UploadCount(ev.Data.SHA256); n != 2 {
		t.Errorf("%d uploads, want 2", n)
	}
	if ev := all.onlyOf(t, "never"); ev.Type != results.Failed || ev.Data.Error.Reason != results.VerdictTimeout {
		t.Errorf("%s %+v, want failed with verdict_timeout", ev.Type, ev.Data.Error)
	}
}

func TestASpentBudgetParksWork(t *testing.T) {
	t.Parallel()
	f := newFixture(t, wildfiretest.WithQuota(3, 0))
	sum := sha256.Sum256([]byte("MZ known"))
	f.wildfire.Know(wildfiretest.Known{SHA256: hex.EncodeToString(sum[:]), Verdict: wildfire.Malware})
	f.startWorker()
	for i := range 10 {
		f.submitRaw(fmt.Sprint("job-", i), "mail", fmt.Sprintf("%d.exe", i), fmt.Sprint("MZ ", i))
	}
	f.waitEvents(3)
	// Jobs that need no upload continue meanwhile.
	f.submitRaw("known", "mail", "known.exe", "MZ known")
	all := f.waitEvents(4)
	all.onlyOf(t, "known")
	// The fourth upload must be refused only after the answer about the known sample.
	st := f.waitStatus(func(st queue.Status) bool { return !st.Paused[pipeline.Uploads].Until.IsZero() })
	if p, ok := st.Paused[pipeline.Uploads]; !ok || p.Until.Before(time.Now().Add(time.Minute)) {
		t.Errorf("paused: %+v, want uploads until the reset", st.Paused)
	}
	if len(st.Dead) != 0 {
		t.Errorf("dead letters: %v", st.Dead)
	}
}

func TestChangedVerdictsArePublished(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Recheck = time.Second
	f.startWorker()
	f.submitRaw("first", "mail", "changed.exe", "MZ changed")
	f.submitRaw("second", "proxy", "changed.exe", "MZ changed")
	f.waitEvents(2)
	if !f.wildfire.SetVerdict("", sha256Hex("MZ changed"), wildfire.Malware) {
		t.Fatal("WildFire does not know it")
	}
	changed := f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Changed)) == 2 }).ofType(results.Changed)
	for _, ev := range changed {
		if ev.Data.Verdict != "malware" || *ev.Data.VerdictCode != 1 {
			t.Errorf("job %s: %s (%d)", ev.Data.JobID, ev.Data.Verdict, *ev.Data.VerdictCode)
		}
	}

	// The change is published before it is recorded. If the leader dies in between, it is published
	// again.
	for end := time.Now().Add(testkit.Patience); ; time.Sleep(10 * time.Millisecond) {
		sample, err := f.q.Ledger().Sample(t.Context(), sha256Hex("MZ changed"))
		if err == nil && wildfire.Verdict(sample.Verdict) == wildfire.Malware {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it was not recorded: %+v, %v", sample, err)
		}
	}

	for _, call := range f.wildfire.Calls() {
		if call.Op == wildfire.OpVerdicts && call.Hashes != 1 {
			t.Errorf("call %d asks about %d hashes, and there is one", call.Number, call.Hashes)
		}
	}

	f.submitRaw("third", "mail", "changed.exe", "MZ changed")
	all := f.waitEvents(3)
	if ev := all.onlyOf(t, "third"); ev.Data.Verdict != "malware" || ev.Data.Basis != results.BasisCache {
		t.Errorf("afterwards: %s by %s, want malware by cache", ev.Data.Verdict, ev.Data.Basis)
	}
	all.onlyOf(t, "first")
}

// A call of more than 500 hashes would be several: each costs a query.
func TestEveryQueryIsCounted(t *testing.T) {
	t.Parallel()
	today := func() int { return time.Now().UTC().YearDay() }
	for day := 0; day != today(); { // the count restarts at midnight
		day = today()
		f := newFixture(t, wildfiretest.WithDelay(4*time.Second), wildfiretest.WithCapacity(10_000, 100_000))
		f.cfg.QueriesPerDay = 1_000_000
		f.cfg.AskFirst = false
		f.cfg.Concurrency = 32
		f.cfg.FirstPoll, f.cfg.MaxPoll = time.Second, time.Second
		const n = 1200
		for i := range n {
			f.submitRaw(fmt.Sprint("job-", i), "mail", "sample.bin", fmt.Sprint("contents ", i))
		}
		stop := f.startWorker()
		f.waitEvents(n)
		stop()
		st, err := f.q.Status(t.Context(), f.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if calls := f.wildfire.Count(wildfire.OpVerdicts); st.Queries.Used != calls && day == today() {
			t.Errorf("%d queries are counted, WildFire got %d", st.Queries.Used, calls)
		}
		for _, c := range f.wildfire.Calls() {
			if c.Hashes > wildfire.MaxHashes {
				t.Errorf("a call of %d hashes", c.Hashes)
			}
		}
	}
}

// A claim whose acknowledgment was lost names a worker that is alive and does not know of it. The
// same is true of a claim whose outcome could not be written.
func TestOwnClaimWithoutAnUpload(t *testing.T) {
	t.Parallel()
	for name, uploaded := range map[string]bool{"before the upload": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.cfg.AskFirst = false
			f.startWorker()
			var members []fleet.Member
			for len(members) == 0 {
				var err error
				if members, err = fleet.Members(t.Context(), f.q.Control()); err != nil {
					t.Fatal(err)
				}
			}
			body := "MZ claimed"
			sum := sha256.Sum256([]byte(body))
			key := hex.EncodeToString(sum[:])
			if uploaded {
				if _, err := f.client.SubmitFile(t.Context(), wildfire.File{Name: "x.exe", Size: int64(len(body)), Open: func() (io.ReadCloser, error) {
					return io.NopCloser(strings.NewReader(body)), nil
				}}); err != nil {
					t.Fatal(err)
				}
			}
			f.publish(f.q.SampleSubject(key), nats.Header{},
				fmt.Sprintf(`{"state":"uploading","owner":%q,"job":"mail/a","verdict":0}`, members[0].ID))
			f.submitRaw("a", "mail", "x.exe", body)
			if ev := f.waitEvents(1).onlyOf(t, "a"); ev.Data.Verdict != "benign" || ev.Data.Basis != results.BasisUpload {
				t.Errorf("%s by %s, want benign by upload", ev.Data.Verdict, ev.Data.Basis)
			}
			if n := f.wildfire.UploadCount(key); n != 1 {
				t.Errorf("%d uploads, want 1", n)
			}
		})
	}
}

// The job that should make the next attempt may never return, because somebody removed it.
func TestARemovedJobBlocksNoOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publish(f.q.SampleSubject(sha256Hex("MZ x")), nats.Header{},
		`{"state":"retrying","job":"mail/gone","attempts":1,"changed_at":"2026-01-01T00:00:00Z","verdict":0}`)
	f.startWorker()
	f.submitRaw("a", "mail", "x.exe", "MZ x")
	f.submitRaw("b", "mail", "x.exe", "MZ x")
	all := f.waitEvents(2)
	for _, job := range []string{"a", "b"} {
		if ev := all.onlyOf(t, job); ev.Data.Verdict != "benign" {
			t.Errorf("job %s: %s %+v", job, ev.Type, ev.Data.Error)
		}
	}
	if n := f.wildfire.UploadCount(sha256Hex("MZ x")); n != 1 {
		t.Errorf("%d uploads, want 1", n)
	}
}

// The outcome of an upload is recorded even after the shutdown timeout, so no job has to wait until
// the worker counts as dead.
func TestAnInterruptedUploadIsReleased(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.ShutdownTimeout = 10 * time.Millisecond
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Times: 1, Fault: wildfiretest.Fault{Latency: time.Minute}})
	stop := f.startWorker()
	f.submitRaw("a", "mail", "x.exe", "MZ x")
	state := func() string {
		s, _, err := f.q.Ledger().Known(t.Context(), sha256Hex("MZ x"))
		if err != nil {
			t.Fatal(err)
		}
		return s.State
	}
	for state() != "uploading" {
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	if s := state(); s != "none" {
		t.Errorf("the sample is %s, want it given back", s)
	}
	f.startWorker()
	f.waitEvents(1).onlyOf(t, "a")
}

// heldSubmitter holds each upload until goOn is closed.
type heldSubmitter struct {
	*wildfire.Client
	began, goOn chan struct{}
}

func (s heldSubmitter) SubmitFile(ctx context.Context, file wildfire.File, opts ...wildfire.SubmitOption) (wildfire.Submission, error) {
	s.began <- struct{}{}
	<-s.goOn

	return s.Client.SubmitFile(ctx, file, opts...)
}

// A stopping worker finishes an upload in progress, wherever the contents come from.
func TestAStoppingWorkerReadsItsUploads(t *testing.T) {
	t.Parallel()
	const body = "MZ object"
	f := newFixture(t)
	err := f.q.Objects().Put(t.Context(), "contents", int64(len(body)), func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(body)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	submitter := heldSubmitter{f.client, make(chan struct{}, 1), make(chan struct{})}
	w, err := worker.New(f.q, f.cfg, submitter, f.client)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	f.submitJSON("mail", "a", `{"version":1,"kind":"file","filename":"x.exe","content":{"object":"contents"}}`)
	<-submitter.began

	cancel()
	close(submitter.goOn)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := f.wildfire.UploadCount(sha256Hex(body)); n != 1 {
		t.Errorf("%d uploads, want 1", n)
	}
}

// WildFire's answer about one link does not block the answers about others.
func TestALinkWithoutAnAnswerBlocksNoOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Deadline = time.Second
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpVerdict, Fault: wildfiretest.Fault{Status: 421}})
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitLink, Times: 1, Fault: wildfiretest.Fault{Status: 421}})
	f.startWorker()
	link := func(id string) {
		f.submitJob("mail", pipeline.Job{ID: id, Version: 1, Kind: pipeline.KindURL, URL: "https://example.com/" + id})
	}
	link("refused")
	if ev := f.waitEvents(1).onlyOf(t, "refused"); ev.Outcome() != "rejected" {
		t.Errorf("it ended %s, want rejected", ev.Outcome())
	}
	link("taken")
	f.submitRaw("file", "mail", "x.exe", "MZ x")
	all := f.waitEvents(3)
	for id, want := range map[string]string{"taken": "verdict_timeout", "file": "benign"} {
		if ev := all.onlyOf(t, id); ev.Outcome() != want {
			t.Errorf("%s ended %s, want %s", id, ev.Outcome(), want)
		}
	}
}
