package queue

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/span"
	"backburn/results"
)

// noContents is a job whose contents are elsewhere, with every field that a waiting job can have.
func noContents(source, id string) *Message {
	m := aJob(source, id)
	m.Raw = false
	m.Contents = nil
	m.Job.Content = &pipeline.Content{Path: ".backburn/claimed/" + id}
	m.Job.Metadata = map[string]string{"k": "v"}
	m.Job.ReceivedAt = time.Now().UTC()
	m.AcceptedAt = time.Now().UTC()
	m.RuleBudget = "share"
	m.Trace = span.Extract(nats.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})

	return m
}

// What a process wrote last it need not read again, and what is kept is what would have been read.
func TestWrittenRecordsAreKept(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	m := noContents("mail", "job")
	sample := q.ledger.SampleUpdate(SampleEntry{Key: m.Job.SHA256, Sample: pipeline.Sample{State: pipeline.StatePending, SubmittedAt: time.Now().UTC()}})
	job := q.ledger.WaitingUpdate(m, Waiting{Sample: m.Job.SHA256, Basis: results.BasisUpload}, 0)
	if err := q.ledger.Commit(t.Context(), sample, job); err != nil {
		t.Fatal(err)
	}
	read, err := q.ledger.Sample(t.Context(), m.Job.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	name := m.Job.Source + "." + pipeline.JobKey(m.Job.ID)
	entry, err := q.ledger.ReadJob(t.Context(), name)
	readJob, revision := entry.Message, entry.Revision
	if err != nil || readJob == nil {
		t.Fatalf("%v, %v", readJob, err)
	}

	gone, cancel := context.WithCancel(t.Context())
	cancel() // nothing can be read
	kept, err := q.ledger.PendingSample(gone, m.Job.SHA256)
	if err != nil || !reflect.DeepEqual(kept, read) {
		t.Errorf("kept %+v, %v; the ledger has %+v", kept, err, read)
	}
	keptJob, keptRevision, err := q.ledger.WaitingAt(gone, name, revision)
	if err != nil || keptRevision != revision || !reflect.DeepEqual(keptJob, readJob) {
		t.Errorf("kept %+v at %d, %v; the ledger has %+v at %d", keptJob, keptRevision, err, readJob, revision)
	}
}

// A record that another process replaced is noticed when it is changed, and forgotten.
func TestOutdatedRecordsAreForgotten(t *testing.T) {
	t.Parallel()
	server := startServer(t, t.TempDir(), false)
	q := openOn(t, connectTo(t, server.ClientURL()))
	other := openOn(t, connectTo(t, server.ClientURL()))

	m := noContents("mail", "job")
	name := m.Job.Source + "." + pipeline.JobKey(m.Job.ID)
	first := q.ledger.SampleUpdate(SampleEntry{Key: m.Job.SHA256, Sample: pipeline.Sample{State: pipeline.StatePending}})
	if err := q.ledger.Commit(t.Context(), first, q.ledger.WaitingUpdate(m, Waiting{Sample: m.Job.SHA256}, 0)); err != nil {
		t.Fatal(err)
	}

	theirs, entry, err := other.Ledger().Load(t.Context(), m.Job.SHA256, m.Job.Ref())
	if err != nil {
		t.Fatal(err)
	}
	theirs.Sample.State = pipeline.StateRetrying
	if err := other.Ledger().Commit(t.Context(), other.Ledger().SampleUpdate(theirs)); err != nil {
		t.Fatal(err)
	}
	final := results.Event{Type: results.Verdict, Time: time.Now().UTC(), Data: results.Data{JobID: m.Job.ID, Source: m.Job.Source, Verdict: "benign", SHA256: m.Job.SHA256}}
	if _, err := other.Events().Finish(t.Context(), m, Ending{Event: final, Sample: m.Job.SHA256, Entry: entry}); err != nil {
		t.Fatal(err)
	}

	outdated, err := q.ledger.PendingSample(t.Context(), m.Job.SHA256)
	if err != nil || outdated.State != pipeline.StatePending {
		t.Fatalf("%+v, %v", outdated, err)
	}
	outdated.State = pipeline.StateVerdict
	if err := q.ledger.Commit(t.Context(), q.ledger.SampleUpdate(outdated)); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("a change of an outdated sample: %v, want a conflict", err)
	}
	if now, err := q.ledger.PendingSample(t.Context(), m.Job.SHA256); err != nil || now.State != pipeline.StateRetrying {
		t.Errorf("after the conflict the sample is %+v, %v", now, err)
	}

	again, revision, err := q.ledger.WaitingAt(t.Context(), name, entry.Revision)
	if err != nil || again == nil {
		t.Fatalf("%v, %v", again, err)
	}
	late := final
	late.Data.Verdict = "malware"
	ev, err := q.Events().Finish(t.Context(), again, Ending{Event: late, Sample: m.Job.SHA256, Entry: JobEntry{JobHeader: JobHeader{Revision: revision, State: JobWaiting}}, By: "term"})
	if err != nil || ev.Data.Verdict != "benign" {
		t.Errorf("an ended job ends again, as %s, %v", ev.Data.Verdict, err)
	}
	if gone, _, err := q.ledger.WaitingAt(t.Context(), name, entry.Revision); err != nil || gone != nil {
		t.Errorf("the ended job is kept: %+v, %v", gone, err)
	}
}

// Only pending samples are kept, and a waiting job is used only at its newest revision. The poller
// hands a job back to the workers when its sample is not pending, which no conflict would reveal as
// a mistake: with an outdated claim, the job would go back and forth forever.
func TestWhatAnotherProcessWroteIsRead(t *testing.T) {
	t.Parallel()
	server := startServer(t, t.TempDir(), false)
	q := openOn(t, connectTo(t, server.ClientURL()))
	other := openOn(t, connectTo(t, server.ClientURL()))

	for _, state := range pipeline.States() {
		key := "s-" + string(state)
		if err := q.ledger.Commit(t.Context(), q.ledger.SampleUpdate(SampleEntry{Key: key, Sample: pipeline.Sample{State: state, Job: "ours"}})); err != nil {
			t.Fatal(err)
		}
		theirs, err := other.Ledger().Sample(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		theirs.State = pipeline.StatePending
		theirs.Job = "theirs"
		if err := other.Ledger().Commit(t.Context(), other.Ledger().SampleUpdate(theirs)); err != nil {
			t.Fatal(err)
		}

		want := "theirs"
		if state == pipeline.StatePending {
			want = "ours"
		}
		if s, err := q.ledger.PendingSample(t.Context(), key); err != nil || s.Job != want || s.State != pipeline.StatePending {
			t.Errorf("after %q: %+v, %v; want the pending sample of %s", state, s, err, want)
		}
	}

	m := noContents("mail", "job")
	name := m.Job.Source + "." + pipeline.JobKey(m.Job.ID)
	ours := q.ledger.WaitingUpdate(m, Waiting{Sample: m.Job.SHA256, Basis: results.BasisShared}, 0)
	if err := q.ledger.Commit(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	theirs := other.Ledger().WaitingUpdate(m, Waiting{Sample: m.Job.SHA256, Basis: results.BasisUpload}, ours.Revision)
	if err := other.Ledger().Commit(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	if got, revision, err := q.ledger.WaitingAt(t.Context(), name, theirs.Revision); err != nil || revision != theirs.Revision || got.Basis != results.BasisUpload {
		t.Errorf("%+v at %d, %v; want the record at %d", got, revision, err, theirs.Revision)
	}
}

// The number and size of kept records are bounded.
func TestKeptRecordsAreBounded(t *testing.T) {
	t.Parallel()

	var w writeCache
	for i := range 10 * maxCachedWrites {
		w.put(fmt.Sprint(i), &writtenRecord{revision: 1})
	}
	if n := len(w.current) + len(w.previous); n > 2*maxCachedWrites {
		t.Errorf("%d records are kept", n)
	}
	if w.get("0") != nil {
		t.Error("the oldest is kept")
	}
	w.put("x", &writtenRecord{revision: 8})
	w.put("x", &writtenRecord{revision: 7}) // the other writer's answer came first
	if r := w.get("x"); r == nil || r.revision != 8 {
		t.Errorf("an older record took the place of a newer one: %+v", r)
	}

	q := openTest(t)
	m := noContents("mail", "large")
	m.Job.Metadata["k"] = string(make([]byte, maxCachedBytes))
	if err := q.ledger.Commit(t.Context(), q.ledger.WaitingUpdate(m, Waiting{Sample: m.Job.SHA256}, 0)); err != nil {
		t.Fatal(err)
	}
	if q.ledger.written.get(q.JobRecordSubject(m.Job.Ref())) != nil {
		t.Error("a large record is kept")
	}
}
