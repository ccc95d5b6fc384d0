package pipeline_test

import (
	"context"
	"testing"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// A sample reaches its deadline while no process runs, and WildFire has a verdict by then. WildFire
// is asked once more before the sample's jobs fail, whatever the record of a job says about the
// sample.
func TestTheLastQuestionComesAtTheDeadline(t *testing.T) {
	t.Parallel()
	for name, hasVerdict := range map[string]bool{"a verdict": true, "no verdict": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			const body = "MZ overdue"
			m := &queue.Message{Raw: true, Contents: []byte(body)}
			m.Job = pipeline.Job{
				ID:       "overdue",
				Source:   "mail",
				Priority: pipeline.Normal,
				Version:  1,
				Kind:     pipeline.KindFile,
				Filename: "a.exe",
			}
			m.Job.SetVerified(sha256Hex(body), int64(len(body)))
			sample := queue.SampleEntry{Key: m.Job.SHA256, Sample: pipeline.Sample{
				State:       pipeline.StatePending,
				Job:         "mail/another",
				Resubmitted: true, // so that it is not uploaded again
				SubmittedAt: time.Now().Add(-2 * f.cfg.Deadline),
			}}
			ledger := f.q.Ledger()
			waiting := ledger.WaitingUpdate(m, queue.Waiting{Sample: sample.Key, Basis: results.BasisShared}, 0)
			if err := ledger.Commit(t.Context(), ledger.SampleUpdate(sample), waiting); err != nil {
				t.Fatal(err)
			}

			want := string(results.VerdictTimeout)
			if hasVerdict {
				f.wildfire.Know(wildfiretest.Known{SHA256: sample.Key, Verdict: wildfire.Malware})
				want = wildfire.Malware.String()
			}
			f.startWorker()

			if ev := f.waitEvents(1).onlyOf(t, "overdue"); ev.Outcome() != want {
				t.Errorf("the job ended as %s, want %s", ev.Outcome(), want)
			}
			if n := f.wildfire.Count(wildfire.OpVerdicts); n == 0 {
				t.Error("WildFire was not asked")
			}
		})
	}
}

// A new job whose sample is pending past its deadline waits until the poller has asked WildFire. It
// does not fail before.
func TestANewJobPastTheDeadline(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const body = "MZ overdue"
	sample := queue.SampleEntry{Key: sha256Hex(body), Sample: pipeline.Sample{
		State:       pipeline.StatePending,
		Job:         "mail/another",
		SubmittedAt: time.Now().Add(-2 * f.cfg.Deadline),
	}}
	if err := f.q.Ledger().Commit(t.Context(), f.q.Ledger().SampleUpdate(sample)); err != nil {
		t.Fatal(err)
	}
	f.wildfire.Know(wildfiretest.Known{SHA256: sample.Key, Verdict: wildfire.Malware})
	f.startWorker()
	f.submitRaw("new", "mail", "a.exe", body)

	if ev := f.waitEvents(1).onlyOf(t, "new"); ev.Outcome() != wildfire.Malware.String() {
		t.Errorf("the job ended as %s", ev.Outcome())
	}
}

// While uploads are paused, a job whose contents WildFire refused long ago waits. It does not go
// back and forth between the poller and a worker, with a query each time.
func TestAnExpiredRefusalDuringAPause(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const body = "MZ refused"
	sample := queue.SampleEntry{Key: sha256Hex(body), Sample: pipeline.Sample{
		State:   pipeline.StateRefused,
		Refusal: &pipeline.Refusal{Error: results.Error{Reason: results.UnsupportedType}, At: time.Now().Add(-48 * time.Hour)},
	}}
	if err := f.q.Ledger().Commit(t.Context(), f.q.Ledger().SampleUpdate(sample)); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if _, err := fleet.PauseManually(t.Context(), f.q.Control(), pipeline.Uploads, "alice", "", now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	f.startWorker()
	f.waitStatus(func(st queue.Status) bool { return st.Paused[pipeline.Uploads].By == "alice" })
	f.submitRaw("waits", "mail", "a.exe", body)
	f.waitStatus(func(st queue.Status) bool { return st.Parked.Jobs == 1 })

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if f.wildfire.Wait(ctx, func() bool { return f.wildfire.Count(wildfire.OpVerdicts) > 1 }) == nil {
		t.Errorf("%d queries about one waiting job", f.wildfire.Count(wildfire.OpVerdicts))
	}

	if _, err := fleet.Resume(t.Context(), f.q.Control(), pipeline.Uploads, time.Now()); err != nil {
		t.Fatal(err)
	}
	f.waitEvents(1)
}
