package pipeline_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
)

// A raw job keeps its time of arrival, although it is read back from a different stream each time.
func TestARawJobKeepsTheTimeOfItsArrival(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.submitRaw("good", "mail", "good.exe", "MZ good")
	f.submitRaw("bad", "mail", "unsupported.xyz", "what is it")
	jobs, err := f.q.JetStream().Stream(t.Context(), f.q.JobsStream())
	if err != nil {
		t.Fatal(err)
	}
	came := map[string]time.Time{}
	for seq := range uint64(2) {
		m, err := jobs.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		came[m.Header.Get(nats.MsgIdHdr)] = m.Time
	}
	told := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	if err := submitFile(t.Context(), f.q, pipeline.Job{
		ID: "told", Source: "mail", Priority: pipeline.Normal, Filename: "told.exe", ReceivedAt: told,
	}, 7, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte("MZ told"))), nil }); err != nil {
		t.Fatal(err)
	}
	came["told"] = told
	f.startWorker()
	all := f.waitEvents(3)
	for id, want := range came {
		if got := all.onlyOf(t, id).Data.ReceivedAt; !got.Equal(want) {
			t.Errorf("job %s was received at %s, its event says %s", id, want, got)
		}
	}
	for l, err := range f.q.Dead().All(t.Context(), queue.DeadFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if !l.Job.ReceivedAt.Equal(came["bad"]) {
			t.Errorf("the dead letter says %s, want %s", l.Job.ReceivedAt, came["bad"])
		}
	}
}

// A job that is redelivered long after its final event leaves no object behind.
func TestAnOldDecisionDropsTheObject(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	past := func() time.Time { return time.Now().Add(-20 * time.Minute) }
	f.startWorker(worker.WithClock(past))
	body := []byte("MZ object")
	put := func() {
		if err := f.q.Objects().Put(t.Context(), "contents", int64(len(body)), func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(body)), nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	deliver := func() {
		f.publish("backburn.jobs.normal.mail", nats.Header{
			nats.MsgIdHdr: {"one"}, "Content-Type": {"application/json"},
		}, `{"version":1,"kind":"file","filename":"a.exe","content":{"object":"contents"}}`)
	}
	put()
	deliver()
	if ev := f.waitEvents(1).onlyOf(t, "one"); ev.Type != results.Verdict {
		t.Fatalf("%s %+v", ev.Type, ev.Data.Error)
	}
	f.waitIdle()
	put()
	deliver()
	f.waitIdle()
	left, err := f.q.Objects().List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	f.waitEvents(1).onlyOf(t, "one")
}
