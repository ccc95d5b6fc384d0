package pipeline_test

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/internal/jets"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// A message whose contents cannot be read does not end the job that waits under the same ID: it may
// be a repeat of that job, or a second use of the ID.
func TestUnreadableContentsEndNoOtherJob(t *testing.T) {
	t.Parallel()
	const body = "MZ waits"
	f := newFixture(t, wildfiretest.WithDelay(24*time.Hour))
	f.cfg.MaxAttempts = 1
	f.startWorker()
	f.submitRaw("a", "mail", "x.exe", body)
	f.waitStatus(func(st queue.Status) bool { return st.Pending.Jobs == 1 })

	damaged := jets.ObjectMeta("backburn_files", base64.URLEncoding.EncodeToString([]byte("damaged")))
	f.publish(damaged, nats.Header{}, "not JSON")
	f.submitJSON("mail", "a", `{"version":1,"kind":"file","filename":"x.exe","content":{"object":"damaged"}}`)
	f.waitFor("a dead letter", func() bool { return len(f.letters(queue.DeadFilter{})) > 0 })
	if l := f.letter(); l.Reason != results.Conflict {
		t.Errorf("a dead letter with the reason %s, want conflict", l.Reason)
	}

	f.wildfire.SetVerdict("", sha256Hex(body), wildfire.Malware)
	if ev := f.waitEvents(1).onlyOf(t, "a"); ev.Data.Verdict != wildfire.Malware.String() {
		t.Errorf("%s %+v, want malware", ev.Outcome(), ev.Data.Error)
	}
}
