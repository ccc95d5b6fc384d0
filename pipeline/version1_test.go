package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// version1 writes a store in the form of version 1: its streams, buckets, subjects, headers and
// JSON, as copied from a store that version 1 made.
type version1 struct {
	t  testing.TB
	js jetstream.JetStream
}

func newVersion1(t testing.TB, nc *nats.Conn) version1 {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	v := version1{t, js}

	for _, c := range []jetstream.StreamConfig{
		{
			Name:      "BACKBURN_JOBS",
			Subjects:  []string{"backburn.jobs.urgent.*", "backburn.jobs.normal.*", "backburn.jobs.bulk.*"},
			Retention: jetstream.WorkQueuePolicy,
			Discard:   jetstream.DiscardNew,
			MaxMsgs:   1_000_000,
			MaxBytes:  2 << 30,
		},
		{
			Name:              "BACKBURN_WAITING",
			Subjects:          []string{"backburn.waiting.*.*"},
			Discard:           jetstream.DiscardNew,
			MaxMsgsPerSubject: 1,
		},
		{
			Name:     "BACKBURN_RESULTS",
			Subjects: []string{"backburn.results.*.*.*"},
			MaxAge:   720 * time.Hour,
			MaxBytes: 10 << 30,
		},
		{
			Name:     "BACKBURN_DEAD",
			Subjects: []string{"backburn.dead.*.*"},
			Discard:  jetstream.DiscardNew,
		},
	} {
		c.Storage = jetstream.FileStorage
		c.Duplicates = 10 * time.Minute
		c.AllowDirect = true
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []jetstream.KeyValueConfig{
		{Bucket: "backburn_samples", TTL: 720 * time.Hour},
		{Bucket: "backburn_jobs", TTL: 720 * time.Hour},
		{Bucket: "backburn_control", LimitMarkerTTL: time.Minute},
	} {
		if _, err := js.CreateKeyValue(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	_, err = js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "backburn_files", TTL: 14 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}

	return v
}

func (v version1) publish(subject string, h nats.Header, body []byte) {
	v.t.Helper()
	if _, err := v.js.PublishMsg(v.t.Context(), &nats.Msg{Subject: subject, Header: h, Data: body}); err != nil {
		v.t.Fatalf("%s: %v", subject, err)
	}
}

func (v version1) put(bucket, key, value string) {
	v.t.Helper()
	kv, err := v.js.KeyValue(v.t.Context(), bucket)
	if err == nil {
		_, err = kv.Create(v.t.Context(), key, []byte(value))
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// rawHeader is the header of a raw job that a worker has already processed; it was submitted as id.
func (v version1) rawHeader(id, source, name string) nats.Header {
	return nats.Header{
		"Backburn-Filename": {name},
		"Backburn-Job":      {id},
		"Backburn-Received": {"2026-11-27T03:18:38.663Z"},
		"Backburn-Subject":  {"backburn.jobs.normal." + source},
	}
}

// addWaiting adds a raw job that waits for its sample.
func (v version1) addWaiting(id, source, name, body, basis string) {
	v.t.Helper()
	h := v.rawHeader(id, source, name)
	h["Backburn-Basis"] = []string{basis}
	v.publish("backburn.waiting."+sha256Hex(body)+"."+id, h, []byte(body))
}

// verdict is a final event of version 1.
func (v version1) verdict(id, source, name, body, verdict string, code int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":%q,"type":"backburn.verdict.v1","subject":%q,`+
		`"datacontenttype":"application/json","time":%q,"data":{"job_id":%q,"source":%q,"filename":%q,"sha256":%q,`+
		`"size":%d,"verdict":%q,"verdict_code":%d,"basis":"upload","received_at":"2026-11-27T03:18:38.668Z",`+
		`"submitted_at":"2026-11-27T03:18:39.171680944Z","decided_at":"2026-11-27T03:18:44.191568777Z","attempts":1}}`,
		id+".verdict", "backburn/"+source, sha256Hex(body), time.Now().UTC().Add(-time.Minute).Format(time.RFC3339Nano),
		id, source, name, sha256Hex(body), len(body), verdict, code)
}

// addEnded records the end of a job and, if published is set, its event.
func (v version1) addEnded(id, source, name, body string, published bool) {
	v.t.Helper()
	ev := v.verdict(id, source, name, body, "malware", 1)
	v.put("backburn_jobs", id, `{"event":`+ev+`,"at":"2026-11-27T03:18:44.191568777Z"}`)
	if published {
		v.publish("backburn.results.verdict.malware."+source, nats.Header{
			"Content-Type": {"application/cloudevents+json"},
			"Nats-Msg-Id":  {id + ".verdict"},
		}, []byte(ev))
	}
}

const knownSample = `{"state":"verdict","changed_at":%[1]q,"md5":"6c9685bba4f5cf03e762f4c9d8689080","size":5,` +
	`"filetype":"PE32 executable","submitted_at":%[1]q,"verdict":1,"decided_at":%[1]q,"checked_at":%[1]q}`

// write makes a store with a job in every possible place.
func (v version1) write() {
	v.t.Helper()
	now := time.Now().UTC().Format(time.RFC3339Nano)

	// WildFire has these, and their jobs wait.
	for i := range 40 {
		body := fmt.Sprint("MZ pending ", i)
		v.put("backburn_samples", sha256Hex(body), fmt.Sprintf(`{"state":"pending","job":"waits-%d","changed_at":%q,"size":%d,"submitted_at":%q,"verdict":0}`,
			i, now, len(body), now))
		v.addWaiting(fmt.Sprint("waits-", i), "mail", "x.exe", body, "upload")
	}
	v.addWaiting("shared", "proxy", "y.exe", "MZ pending 0", "shared")
	v.addWaiting("waits-1", "proxy", "z.exe", "MZ pending 0", "shared") // an ID that another source uses as well
	jsonWaits := v.rawHeader("json", "mail", "")
	jsonWaits["Content-Type"] = []string{"application/json"}
	jsonWaits["Backburn-Basis"] = []string{"shared"}
	v.publish("backburn.waiting."+sha256Hex("MZ pending 2")+".json", jsonWaits,
		[]byte(`{"version":1,"kind":"file","filename":"j.exe","content":{"object":"gone"}}`))

	// A worker died while uploading this: WildFire may have it.
	v.put("backburn_samples", sha256Hex("MZ uploading"), fmt.Sprintf(`{"state":"uploading","owner":"gone-1","job":"claims","changed_at":%q,"verdict":0}`, now))
	v.publish("backburn.jobs.normal.mail", nats.Header{"Nats-Msg-Id": {"claims"}, "Backburn-Filename": {"c.exe"}}, []byte("MZ uploading"))

	// The next attempt belongs to a job that had waited and was requeued.
	v.put("backburn_samples", sha256Hex("MZ again"), fmt.Sprintf(`{"state":"retrying","job":"again","attempts":2,"changed_at":%q,"verdict":0}`, now))
	again := v.rawHeader("again", "mail", "a.exe")
	again["Nats-Msg-Id"] = []string{"again.again.7"}
	v.publish("backburn.jobs.normal.mail", again, []byte("MZ again"))

	// Jobs that no worker has read.
	v.publish("backburn.jobs.bulk.mail", nats.Header{"Nats-Msg-Id": {"queued"}, "Backburn-Filename": {"q.exe"}}, []byte("MZ queued"))

	// Samples with a known result.
	v.put("backburn_samples", sha256Hex("MZ known"), fmt.Sprintf(knownSample, now))
	v.addEnded("over", "mail", "o.exe", "MZ known", true)

	// A process died between two steps: recorded and not published; published and not acknowledged.
	v.addEnded("recorded", "mail", "r.exe", "MZ known", false)
	v.addWaiting("recorded", "mail", "r.exe", "MZ known", "upload")
	v.addEnded("published", "mail", "p.exe", "MZ known", true)
	v.addWaiting("published", "mail", "p.exe", "MZ known", "upload")
	v.addEnded("queued-too", "mail", "p.exe", "MZ known", true)
	v.publish("backburn.jobs.normal.mail", nats.Header{"Nats-Msg-Id": {"queued-too"}, "Backburn-Filename": {"p.exe"}}, []byte("MZ known"))

	// Unreadable records stop nothing.
	v.put("backburn_samples", sha256Hex("garbage"), `{"state":`)
	v.put("backburn_jobs", "garbage", `{"event":{}}`)

	dead := v.rawHeader("dead", "mail", "d.xyz")
	dead["Backburn-Reason"] = []string{"unsupported_type"}
	dead["Backburn-Error"] = []string{"418"}
	dead["Backburn-Attempts"] = []string{"1"}
	v.publish("backburn.dead.unsupported_type.mail", dead, []byte("MZ dead"))
}

// finalsOfVersion1 is how many jobs of the store have, or will have, a final event.
const finalsOfVersion1 = 40 + 3 + 3 + 4

// checkVersion1 runs a worker on the remaining jobs, and checks that every job ends once.
func (f *fixture) checkVersion1() {
	f.t.Helper()
	for i := range 40 {
		f.submitToWildFire(fmt.Sprint("MZ pending ", i))
	}
	f.submitToWildFire("MZ uploading")
	f.startWorker()
	f.waitEvents(finalsOfVersion1)
	f.waitIdle()

	all := f.waitEvents(finalsOfVersion1)
	if len(all.final()) != finalsOfVersion1 {
		f.t.Errorf("%d final events, want %d:\n%s", len(all.final()), finalsOfVersion1, all.final())
	}

	seen := map[string]int{}
	for _, ev := range all.final() {
		seen[ev.Data.Source+"/"+ev.Data.JobID]++
		if ev.Type != results.Verdict || ev.Data.SHA256 == "" || ev.Data.ReceivedAt.IsZero() {
			f.t.Errorf("%s of %s: %+v", ev.ID(), ev.Data.Source, ev.Data)
		}
	}
	for job, n := range seen {
		if n != 1 {
			f.t.Errorf("%s has %d final events", job, n)
		}
	}
	for _, job := range []string{"mail/waits-1", "proxy/waits-1", "proxy/shared", "mail/json", "mail/claims", "mail/again", "mail/queued", "mail/recorded"} {
		if seen[job] == 0 {
			f.t.Errorf("%s has no final event", job)
		}
	}
	if ev := all.ofJob("waits-7").final()[0]; ev.Data.Basis != results.BasisUpload || ev.Data.ReceivedAt.Second() != 38 {
		f.t.Errorf("a job that waited: %s by %s, received at %s", ev.Outcome(), ev.Data.Basis, ev.Data.ReceivedAt)
	}

	// Contents that WildFire already has are not uploaded again, and known verdicts are reused.
	f.submitRaw("new", "mail", "n.exe", "MZ known")
	if ev := f.waitEvents(finalsOfVersion1+1).onlyOf(f.t, "new"); ev.Data.Verdict != "malware" || ev.Data.Basis != results.BasisCache {
		f.t.Errorf("a remembered verdict: %s by %s", ev.Outcome(), ev.Data.Basis)
	}
	for _, body := range []string{"MZ pending 0", "MZ pending 39", "MZ uploading", "MZ again", "MZ queued"} {
		if n := f.wildfire.UploadCount(sha256Hex(body)); n != 1 {
			f.t.Errorf("%q: %d uploads, want 1", body, n)
		}
	}
}

// submitToWildFire sends contents to WildFire, as version 1 had done.
func (f *fixture) submitToWildFire(body string) {
	f.t.Helper()
	_, err := f.client.SubmitFile(f.t.Context(), wildfire.File{
		Name: "x.exe",
		Size: int64(len(body)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil },
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// Jobs, verdicts and records of version 1 are carried over, and its streams are removed.
func TestMigrationFromVersion1(t *testing.T) {
	t.Parallel()
	nc := connect(t, natsServer(t))
	v := newVersion1(t, nc)
	v.write()

	f := newFixtureOn(t, openQueue(t, nc))
	for _, name := range f.q.OldStreams() {
		if _, err := v.js.Stream(t.Context(), name); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("stream %s is still there: %v", name, err)
		}
	}
	f.checkVersion1()

	// A dead letter of version 1 can be replayed.
	if _, err := f.q.Dead().Replay(t.Context(), 1, queue.ReplayOptions{}); err != nil {
		t.Fatal(err)
	}
	if ev := f.waitEvents(finalsOfVersion1+2).onlyOf(t, "dead~1"); ev.Data.Verdict != "benign" || ev.Data.Source != "mail" {
		t.Errorf("a replayed letter: %s", ev.Outcome())
	}
}

// The migration may stop anywhere, and several processes may start together.
func TestMigrationIsRepeatable(t *testing.T) {
	t.Parallel()
	s := natsServer(t)
	newVersion1(t, connect(t, s)).write()

	try := func(ctx context.Context) error {
		nc, err := nats.Connect(s.ClientURL())
		if err != nil {
			return err
		}
		defer nc.Close()
		_, err = queue.Open(ctx, nc, topology)

		return err
	}
	stopped := 0
	for limit := 2 * time.Millisecond; ; limit += limit / 3 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := try(ctx)
		cancel()
		if err == nil {
			break
		}
		stopped++
		if limit > 30*time.Second {
			t.Fatal(err)
		}
		// Several at the same time, some of which are stopped.
		var others sync.WaitGroup
		for i := range 3 {
			others.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit*time.Duration(i)/2)
				defer cancel()
				_ = try(ctx)
			})
		}
		others.Wait()
	}
	t.Logf("stopped %d times before it succeeded", stopped)
	newFixtureOn(t, openQueue(t, connect(t, s))).checkVersion1()
}

// A running worker of version 1 would continue to write to streams that are being migrated.
func TestMigrationWaitsForOldWorkers(t *testing.T) {
	t.Parallel()
	nc := connect(t, natsServer(t))
	v := newVersion1(t, nc)
	v.put("backburn_control", "batcher", `{"owner":"old-1"}`)
	v.put("backburn_control", "worker.old-1", `{"id":"old-1","host":"elsewhere","pid":1,"slots":8,"batcher":true}`)
	v.addWaiting("a", "mail", "x.exe", "MZ x", "upload")

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := queue.Open(ctx, nc, topology); !errors.Is(err, queue.ErrUnavailable) || !strings.Contains(err.Error(), "version 1") {
		t.Fatalf("while a worker of version 1 is running: %v", err)
	}

	kv, err := v.js.KeyValue(t.Context(), "backburn_control")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), "worker.old-1"); err != nil {
		t.Fatal(err)
	}
	f := newFixtureOn(t, openQueue(t, nc), wildfiretest.WithDelay(0))
	f.startWorker()
	f.waitEvents(1).onlyOf(t, "a")
}

// The header that names a job is only used on messages of version 1.
func TestHeadersOfVersion1AreIgnoredElsewhere(t *testing.T) {
	t.Parallel()
	nc := connect(t, natsServer(t))
	newVersion1(t, nc).write()
	f := newFixtureOn(t, openQueue(t, nc))
	f.checkVersion1()

	h := version1{}.rawHeader("waits-3", "mail", "forged.exe")
	h["Nats-Msg-Id"] = []string{"forged"}
	f.publish("backburn.jobs.normal.proxy", h, "MZ forged")
	all := f.waitEvents(finalsOfVersion1 + 2)
	if ev := all.onlyOf(t, "forged"); ev.Data.Source != "proxy" {
		t.Errorf("the job has the source %s", ev.Data.Source)
	}
	all.onlyOf(t, "waits-3")
}
