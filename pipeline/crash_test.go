package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire/wildfiretest"
)

// A worker died at the end of a long upload. WildFire has the contents but does not know them yet
// when the next worker asks. They are not sent again.
func TestALongUploadWhoseWorkerDiesAtItsEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t, wildfiretest.WithUnknownFor(6*time.Second), wildfiretest.WithDelay(6200*time.Millisecond))
	f.cfg.FirstPoll, f.cfg.MaxPoll = 7*time.Second, 8*time.Second
	f.submitToWildFire("MZ long")
	claimed := time.Now().Add(-20 * time.Minute).UTC().Format(time.RFC3339Nano)
	f.publish(f.q.SampleSubject(sha256Hex("MZ long")), nats.Header{},
		fmt.Sprintf(`{"state":"uploading","owner":"gone","job":"mail/a","changed_at":%q,"verdict":0}`, claimed))
	f.submitRaw("a", "mail", "x.exe", "MZ long")
	f.startWorker()
	if ev := f.waitEvents(1).onlyOf(t, "a"); ev.Data.Verdict != "benign" || ev.Data.Basis != results.BasisUpload {
		t.Errorf("%s by %s, want benign by upload", ev.Outcome(), ev.Data.Basis)
	}
	if n := f.wildfire.UploadCount(sha256Hex("MZ long")); n != 1 {
		t.Errorf("%d uploads, want 1", n)
	}
}

// A worker died after it had recorded its upload, before it published that WildFire accepted the
// file. The worker that gets the job next publishes that, although the job waits or has ended.
func TestAnUploadWhoseWorkerDiesBeforeItsEvent(t *testing.T) {
	t.Parallel()
	for name, verdictAfter := range map[string]time.Duration{"waits": 24 * time.Hour, "ended": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const body = "MZ accepted"
			f := newFixture(t, wildfiretest.WithDelay(verdictAfter))
			f.submitToWildFire(body)
			submitted := time.Now().UTC().Add(-time.Second)
			sample := pipeline.Sample{State: pipeline.StatePending, Job: "mail/a", SubmittedAt: submitted}
			job := pipeline.Job{
				ID: "a", Source: "mail", Kind: pipeline.KindFile, Filename: "x.exe",
				SHA256: sha256Hex(body), Size: int64(len(body)), ReceivedAt: submitted,
			}
			key := pipeline.SampleKey(job)
			ledger := f.q.Ledger()
			if verdictAfter == 0 {
				sample.State = pipeline.StateVerdict
				ev := pipeline.VerdictEvent(job, sample, results.BasisUpload, time.Now())
				_, err := f.q.Events().Finish(t.Context(), &queue.Message{Job: job}, queue.Ending{Event: ev, Sample: key})
				if err != nil {
					t.Fatal(err)
				}
			} else {
				m := &queue.Message{Job: job}
				why := queue.Waiting{Sample: key, Basis: results.BasisUpload, Pending: submitted}
				if err := ledger.Commit(t.Context(), ledger.WaitingUpdate(m, why, 0)); err != nil {
					t.Fatal(err)
				}
			}
			entry := queue.SampleEntry{Key: key, Sample: sample}
			if err := ledger.Commit(t.Context(), ledger.SampleUpdate(entry)); err != nil {
				t.Fatal(err)
			}

			f.submitRaw("a", "mail", "x.exe", body)
			f.startWorker()
			all := f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) == 1 })
			if ev := all.ofType(results.Submitted)[0]; ev.ID() != "a.submitted" || !ev.Time.Equal(submitted) {
				t.Errorf("the event %s of %s, want a.submitted of %s", ev.ID(), ev.Time, submitted)
			}
			if n := f.wildfire.UploadCount(sha256Hex(body)); n != 1 {
				t.Errorf("%d uploads, want 1", n)
			}
		})
	}
}
