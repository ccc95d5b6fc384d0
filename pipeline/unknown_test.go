package pipeline_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire/wildfiretest"
)

// TestUnknownJobs asks about jobs in every place where a job can be.
func TestUnknownJobs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, wildfiretest.WithDelay(time.Hour))
	unknown := func(ids ...string) []string {
		t.Helper()
		got, err := f.q.Unknown(t.Context(), "mail", ids)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}

	f.submitRaw("queued", "mail", "x.exe", "MZ queued")
	f.submitRaw("of another source", "proxy", "x.exe", "MZ other")
	if got := unknown("queued", "never", "of another source"); !slices.Equal(got, []string{"never", "of another source"}) {
		t.Errorf("while a job is queued: %q", got)
	}

	f.publish(f.q.JobRecordSubject(pipeline.Ref{Source: "mail", ID: "accepted"}), nats.Header{"Backburn-State": {"accepted"}}, "")
	if got := unknown("queued", "accepted"); !slices.Equal(got, []string{"accepted"}) {
		t.Errorf("while a job was accepted and never queued: %q", got)
	}

	f.submitRaw("ends", "mail", "empty.exe", "")
	stop := f.startWorker()
	f.waitEvents(1)
	until := time.Now().Add(30 * time.Second)
	for f.trace(queue.TraceQuery{Job: "queued"}).State != "waiting" && time.Now().Before(until) {
		time.Sleep(10 * time.Millisecond)
	}
	if got := unknown("queued", "ends"); len(got) != 0 {
		t.Errorf("while a job waits and another has ended: %q", got)
	}
	stop()

	s, err := f.q.JetStream().Stream(t.Context(), "BACKBURN_LEDGER")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := unknown("queued", "ends"); !slices.Equal(got, []string{"queued", "ends"}) {
		t.Errorf("after a purge of the waiting jobs: %q", got)
	}
}
