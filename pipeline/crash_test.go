package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

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
