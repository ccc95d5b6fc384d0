package pipeline_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// badJobs are JSON bodies that are not valid jobs.
var badJobs = map[string]string{
	"cut off":           `{"version":1,"kind":"file"`,
	"two values":        `{"version":1,"kind":"url","url":"http://x/"} {}`,
	"not an object":     `[]`,
	"no version":        `{"kind":"url","url":"http://x/"}`,
	"another version":   `{"version":2,"kind":"url","url":"http://x/"}`,
	"no kind":           `{"version":1,"url":"http://x/"}`,
	"unknown kind":      `{"version":1,"kind":"folder","filename":"a","content":{"path":"a"}}`,
	"no filename":       `{"version":1,"kind":"file","content":{"path":"a"}}`,
	"no content":        `{"version":1,"kind":"file","filename":"a"}`,
	"empty content":     `{"version":1,"kind":"file","filename":"a","content":{}}`,
	"two contents":      `{"version":1,"kind":"file","filename":"a","content":{"path":"a","object":"b"}}`,
	"absolute path":     `{"version":1,"kind":"file","filename":"a","content":{"path":"/etc/shadow"}}`,
	"windows path":      `{"version":1,"kind":"file","filename":"a","content":{"path":"C:\\secret"}}`,
	"share":             `{"version":1,"kind":"file","filename":"a","content":{"path":"\\\\host\\share"}}`,
	"parent":            `{"version":1,"kind":"file","filename":"a","content":{"path":"../../etc/shadow"}}`,
	"parent inside":     `{"version":1,"kind":"file","filename":"a","content":{"path":"a/../../b"}}`,
	"parent in base64":  `{"version":1,"kind":"file","filename":"a","content":{"path_b64":"Li4vYQ=="}}`,
	"dot":               `{"version":1,"kind":"file","filename":"a","content":{"path":"."}}`,
	"NUL":               `{"version":1,"kind":"file","filename":"a","content":{"path":"a\u0000b"}}`,
	"long object name":  `{"version":1,"kind":"file","filename":"a","content":{"object":"` + strings.Repeat("x", 1025) + `"}}`,
	"long raw name":     `{"version":1,"kind":"file","filename":"a","filename_b64":"` + strings.Repeat("YWFh", 1400) + `","content":{"path":"a"}}`,
	"deep":              `{"version":1,"kind":"url","url":"http://x/","x":` + strings.Repeat("[", 60_000) + strings.Repeat("]", 60_000) + `}`,
	"null":              `null`,
	"negative size":     `{"version":1,"kind":"file","filename":"a","size":-1,"content":{"path":"a"}}`,
	"short hash":        `{"version":1,"kind":"file","filename":"a","sha256":"abc","content":{"path":"a"}}`,
	"url for a file":    `{"version":1,"kind":"file","filename":"a","url":"http://x/","content":{"path":"a"}}`,
	"content for a url": `{"version":1,"kind":"url","url":"http://x/","content":{"path":"a"}}`,
	"no url":            `{"version":1,"kind":"url"}`,
	"ftp":               `{"version":1,"kind":"url","url":"ftp://x/"}`,
	"a script":          `{"version":1,"kind":"url","url":"javascript:alert(1)"}`,
	"no host":           `{"version":1,"kind":"url","url":"http:///x"}`,
	"much metadata":     `{"version":1,"kind":"url","url":"http://x/","metadata":{"a":"` + strings.Repeat("x", 9000) + `"}}`,
	"wrong type":        `{"version":"1","kind":"url","url":"http://x/"}`,
}

// undetectedBySchema are the bad jobs that a schema cannot detect.
var undetectedBySchema = map[string]bool{
	"windows path": true, "parent": true, "parent inside": true, "parent in base64": true, "dot": true, "NUL": true, "no host": true,
	"much metadata": true,
}

// A message that is not a valid job is kept unchanged as a dead letter, with its reason, and gets a
// failed event.
func TestBadJobsAreRefusedAndKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Roots["mail"] = t.TempDir()
	f.startWorker()
	for name, body := range badJobs {
		f.publish("backburn.jobs.normal.mail", nats.Header{"Content-Type": {"application/json; charset=utf-8"}, nats.MsgIdHdr: {name}}, body)
	}
	many := nats.Header{nats.MsgIdHdr: {"raw with much metadata"}, queue.HeaderFilename: {"a"}}
	for i := range 33 {
		many[fmt.Sprintf("%sk%d", queue.HeaderMeta, i)] = []string{"v"}
	}
	f.publish("backburn.jobs.normal.mail", many, "MZ")
	f.publish("backburn.jobs.normal.mail", nats.Header{nats.MsgIdHdr: {"raw without a name"}}, "MZ")
	m := &nats.Msg{Subject: "backburn.jobs.soon.mail", Header: nats.Header{queue.HeaderFilename: {"a"}}, Data: []byte("MZ")}
	if _, err := f.q.JetStream().PublishMsg(t.Context(), m); err == nil {
		t.Error("a lane that does not exist acknowledged a job")
	}
	f.publish("backburn.jobs.normal.Mail", nats.Header{nats.MsgIdHdr: {"source in capitals"}, queue.HeaderFilename: {"a"}}, "MZ")

	want := len(badJobs) + 3
	all := f.waitEvents(want)
	for _, ev := range all {
		if ev.Type != results.Failed || ev.Data.Error.Reason != results.InvalidJob {
			t.Errorf("%s: %s %+v", ev.Data.JobID, ev.Type, ev.Data.Error)
		}
	}
	st, err := f.q.Status(t.Context(), f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if st.Dead["invalid_job"] != uint64(want) {
		t.Errorf("%d dead letters, want %d", st.Dead["invalid_job"], want)
	}
	if n := len(f.wildfire.Calls()); n != 0 {
		t.Errorf("WildFire was called %d times", n)
	}
}

// Every job that fits into a message on JOBS ends, even if the data that is added later no longer
// fits: the contents move to an object, and foreign headers are dropped.
func TestJobsThatFillAMessageEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	const subject = "backburn.jobs.normal.mail"
	full := func(h nats.Header) string {
		m := &nats.Msg{Subject: subject, Header: h}
		return strings.Repeat("x", 1<<20-m.Size()+len(subject))
	}
	header := func(id string, more ...string) nats.Header {
		h := nats.Header{nats.MsgIdHdr: {id}}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = []string{more[i+1]}
		}
		return h
	}
	taken, refused := header("taken", queue.HeaderFilename, "a.exe"), header("refused", queue.HeaderFilename, "a.unsupported")
	f.publish(subject, taken, full(taken))
	f.publish(subject, refused, full(refused))
	nameless, text := header("nameless"), header("text", "Content-Type", "application/json")
	f.publish(subject, nameless, full(nameless))
	f.publish(subject, text, full(text))
	f.publish(subject, header("headers", queue.HeaderFilename, "b.exe", "X-Long", strings.Repeat("y", 65_300)), "MZ headers")
	f.publish(subject, header("long name", queue.HeaderFilename, strings.Repeat("y", 65_300)), "MZ long name")
	f.publish(subject, header("never", queue.HeaderFilename, "c.exe", queue.HeaderReceived, "9999-12-31T23:59:59-23:00"), "")
	f.publish(subject, header(strings.Repeat("i", 40_000), queue.HeaderFilename, "d.exe"), "MZ long id")
	f.publish(subject, header("id \xff", queue.HeaderFilename, "e.exe"), "MZ odd id")

	all := f.waitEvents(9)
	for id, want := range map[string]string{
		"taken": "benign", "refused": "unsupported_type", "nameless": "invalid_job", "text": "invalid_job",
		"headers": "benign", "long name": "invalid_job", "never": "empty",
		"h-" + sha256Hex(strings.Repeat("i", 40_000)): "benign", "h-" + sha256Hex("id \xff"): "benign",
	} {
		if ev := all.onlyOf(t, id); ev.Outcome() != want {
			t.Errorf("job %s ended %s, want %s: %+v", id, ev.Outcome(), want, ev.Data.Error)
		}
	}
	for _, l := range f.letters(queue.DeadFilter{Source: "mail"}) {
		if l.Job.ID == "refused" {
			if r, err := f.q.Dead().Replay(t.Context(), l.Seq, queue.ReplayOptions{DryRun: true}); err != nil {
				t.Errorf("the letter cannot be replayed: %+v, %v", r, err)
			}
		}
	}
}

// Header names may be in any case, because NATS keeps them as they were sent.
func TestAJobIsJSONInAnySpelling(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	for i, h := range []nats.Header{
		{"content-type": {"application/json"}}, {"Content-Type": {"Application/JSON; charset"}}, {"CONTENT-TYPE": {" application/json ;charset=utf-8"}},
	} {
		h[nats.MsgIdHdr] = []string{fmt.Sprint(i)}
		f.publish("backburn.jobs.normal.mail", h, fmt.Sprintf(`{"version":1,"kind":"url","url":"https://example.com/%d"}`, i))
	}
	for i, spelling := range []string{"\ufeff%s", "\ufeff \r\n%s\r\n", "\n%s\n", "%s \t"} {
		h := nats.Header{"Content-Type": {"application/json"}, nats.MsgIdHdr: {fmt.Sprint(3 + i)}}
		f.publish("backburn.jobs.normal.mail", h, fmt.Sprintf(spelling, fmt.Sprintf(`{"version":1,"kind":"url","url":"https://example.com/%d"}`, 3+i)))
	}
	const jobs = 7
	for i, all := 0, f.waitEvents(jobs); i < jobs; i++ {
		if ev := all.onlyOf(t, fmt.Sprint(i)); ev.Type != results.Verdict {
			t.Errorf("%d ended %s", i, ev.Outcome())
		}
	}
}

// No spelling of a path, and no symbolic link, makes a worker upload a file outside the root.
func TestNoPathLeadsOutOfTheRoot(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	outside, root := t.TempDir(), t.TempDir()
	write := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("MZ "+path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, path string) {
		t.Helper()
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(outside, "secret"))
	write(filepath.Join(root, "plain.exe"))
	write(filepath.Join(root, "a:b.exe"))
	if err := os.Mkdir(filepath.Join(root, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(root, "sub", "deep.exe"))
	link(filepath.Join(outside, "secret"), filepath.Join(root, "out"))
	link(outside, filepath.Join(root, "away"))
	link("plain.exe", filepath.Join(root, "inside"))
	link("sub", filepath.Join(root, "alias"))
	f.cfg.Roots["mail"] = root
	f.startWorker()
	want := map[string]results.Reason{
		"plain.exe": "", "sub/deep.exe": "", "a:b.exe": "",
		"out": results.Forbidden, "away/secret": results.Forbidden, "inside": results.Forbidden, "alias/deep.exe": results.Forbidden,
		"sub": results.Forbidden, "gone.exe": results.ContentMissing, "plain.exe/x": results.ContentMissing,
		strings.Repeat("x", 300): results.ContentMissing, // this name is impossible for a file
	}
	for path := range want {
		f.submitJob("mail", pipeline.Job{
			ID:       "job " + path,
			Version:  1,
			Kind:     pipeline.KindFile,
			Filename: "x.exe",
			Content:  &pipeline.Content{Path: path},
		})
	}
	all := f.waitEvents(len(want))
	for path, reason := range want {
		ev := all.onlyOf(t, "job "+path)
		if reason == "" && ev.Type != results.Verdict || reason != "" && (ev.Data.Error == nil || ev.Data.Error.Reason != reason) {
			t.Errorf("%s: %s %+v, want %q", path, ev.Type, ev.Data.Error, reason)
		}
	}
}

// Jobs wait while a folder is not mounted: its files are not reported as missing.
func TestJobsWaitForAnUnmountedFolder(t *testing.T) {
	t.Parallel()
	nc := connect(t, natsServer(t))
	f := newFixtureOn(t, openQueue(t, nc))
	settled, err := nc.SubscribeSync("$JS.ACK.BACKBURN_JOBS.>")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	contents := map[string]string{"gone": "a.exe", "empty": ".backburn/claimed/b.exe"}
	for source := range contents {
		f.cfg.Roots[source] = filepath.Join(dir, source)
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.startWorker()
	for source, name := range contents {
		f.submitJob(source, pipeline.Job{
			ID:       source,
			Version:  1,
			Kind:     pipeline.KindFile,
			Filename: "x.exe",
			Content:  &pipeline.Content{Path: name},
		})
	}
	for back := 0; back < 2; {
		m, err := settled.NextMsg(30 * time.Second)
		if err != nil {
			t.Fatalf("%d jobs were given back: %v", back, err)
		}
		if bytes.HasPrefix(m.Data, []byte("-NAK")) {
			back++
		}
	}
	for source, name := range contents {
		name = filepath.Join(dir, source, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("MZ "+source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := f.waitEvents(2)
	for source := range contents {
		if ev := all.onlyOf(t, source); ev.Type != results.Verdict {
			t.Errorf("%s: %s %+v", source, ev.Type, ev.Data.Error)
		}
	}
}

// A file that changed after it was submitted gets no verdict in place of the original.
func TestChangedContentsAreNotJudged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	root := t.TempDir()
	f.cfg.Roots["mail"] = root
	for _, name := range []string{"longer.exe", "other.exe"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("MZ now"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.startWorker()
	f.submitJob("mail", pipeline.Job{
		ID:       "longer",
		Version:  1,
		Kind:     pipeline.KindFile,
		Filename: "l.exe",
		Size:     4,
		Content:  &pipeline.Content{Path: "longer.exe"},
	})
	f.submitJob("mail", pipeline.Job{
		ID: "other", Version: 1, Kind: pipeline.KindFile, Filename: "o.exe", Size: 6,
		SHA256: strings.Repeat("ab", 32), Content: &pipeline.Content{Path: "other.exe"},
	})
	all := f.waitEvents(2)
	for _, id := range []string{"longer", "other"} {
		if ev := all.onlyOf(t, id); ev.Data.Error == nil || ev.Data.Error.Reason != results.ContentChanged {
			t.Errorf("%s: %s %+v, want content_changed", id, ev.Type, ev.Data.Error)
		}
	}
}

// Objects can be incomplete, or links to objects in another bucket.
func TestInvalidObjects(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.MaxAttempts = 3
	ctx := t.Context()
	files, err := f.q.JetStream().ObjectStore(ctx, f.q.FilesBucket())
	if err != nil {
		t.Fatal(err)
	}
	put := func(o jetstream.ObjectStore, name, body string) *jetstream.ObjectInfo {
		t.Helper()
		info, err := o.PutString(ctx, name, body)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	// The digest belongs to another object.
	info := put(files, "corrupt", "MZ corrupt")
	info.Digest = put(files, "other", "MZ another").Digest
	meta := func(info *jetstream.ObjectInfo) {
		t.Helper()
		body, err := json.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		m := nats.NewMsg("$O." + f.q.FilesBucket() + ".M." + base64.URLEncoding.EncodeToString([]byte(info.Name)))
		m.Data = body
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
		if _, err := f.q.JetStream().PublishMsg(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	meta(info)
	// A secret that the worker can read and the publisher cannot.
	secrets, err := f.q.JetStream().CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "secrets"})
	if err != nil {
		t.Fatal(err)
	}
	secret := put(secrets, "secret", "MZ secret")
	link := *secret
	link.Name, link.Bucket = "link", f.q.FilesBucket()
	link.Opts = &jetstream.ObjectMetaOptions{Link: &jetstream.ObjectLink{Bucket: "secrets", Name: "secret"}}
	meta(&link)

	f.startWorker()
	want := map[string]results.Reason{
		"corrupt": results.ContentMissing, "link": results.Forbidden, "nowhere": results.ContentMissing,
	}
	for name := range want {
		f.submitJob("mail", pipeline.Job{
			ID:       name,
			Version:  1,
			Kind:     pipeline.KindFile,
			Filename: "x.exe",
			Content:  &pipeline.Content{Object: name},
		})
	}
	all := f.waitEvents(len(want))
	for name, reason := range want {
		if ev := all.onlyOf(t, name); ev.Data.Error == nil || ev.Data.Error.Reason != reason {
			t.Errorf("%s: %s %+v, want %s", name, ev.Type, ev.Data.Error, reason)
		}
	}
	if n := f.wildfire.Count(wildfire.OpSubmitFile); n != 0 {
		t.Errorf("%d uploads", n)
	}
}

// A gateway cannot speak for another source, whatever its headers say.
func TestASourceIsItsSubject(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	f.publish("backburn.jobs.bulk.gw1", nats.Header{
		nats.MsgIdHdr: {"a"}, queue.HeaderFilename: {"a.exe"}, "Backburn-Subject": {"backburn.jobs.urgent.gw2"},
		"backburn-meta-Client": {"10.0.0.7"},
	}, "MZ a")
	ev := f.waitEvents(1).onlyOf(t, "a")
	if ev.Data.Source != "gw1" || ev.Data.Metadata["client"] != "10.0.0.7" {
		t.Errorf("source %q, metadata %v", ev.Data.Source, ev.Data.Metadata)
	}
}

func (f *fixture) submitJob(source string, j pipeline.Job) {
	f.t.Helper()
	body, err := json.Marshal(j)
	if err != nil {
		f.t.Fatal(err)
	}
	f.publish("backburn.jobs.normal."+source, nats.Header{"Content-Type": {"application/json"}, nats.MsgIdHdr: {j.ID}}, string(body))
}

// A source uses one ID for several contents at the same moment. One of them gets the ID's final
// event, and the others become dead letters, although all were read before any was recorded.
func TestOneIDForSeveralContentsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, wildfiretest.WithLatency(200*time.Millisecond), wildfiretest.WithDelay(2*time.Second))
	bodies := []string{"MZ one", "MZ two", "MZ three", "MZ four"}
	for _, body := range bodies {
		f.submitRaw("same", "mail", "x.exe", body)
	}
	f.startWorker()

	final := f.waitEvents(1).onlyOf(t, "same")
	f.waitIdle()
	letters := f.letters(queue.DeadFilter{})
	accounted := map[string]int{final.Data.SHA256: 1}
	for _, l := range letters {
		if l.Reason != results.Conflict {
			t.Errorf("a dead letter has the reason %s", l.Reason)
		}
		accounted[sha256Hex(string(l.Body))]++
	}
	for _, body := range bodies {
		if n := accounted[sha256Hex(body)]; n != 1 {
			t.Errorf("%q has %d outcomes, want 1; the event is about %s", body, n, final.Data.SHA256)
		}
	}
}

// Whatever is on a subject for requeued jobs without being one ends, and holds no worker up.
func TestNoRecordOfARequeuedJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	const subject = "backburn.requeue.normal.mail"
	for _, n := range []string{"", "-1", "1000"} {
		f.publish(subject, nats.Header{"Backburn-Record": {n}}, "{}")
	}
	for _, record := range []string{
		"{}",
		`{"id":"a","source":"mail","priority":"normal","job":{"kind":"file"}}`,
		`{"id":"b","source":"mail","priority":"normal","job":{"kind":"url"}}`,
		`{"id":"c","source":"mail","priority":"normal","raw":true,"job":{}}`,
		`{"id":"d","source":"*","priority":"normal","raw":true,"job":{"kind":"file"}}`,
	} {
		f.publish(subject, nats.Header{"Backburn-Record": {strconv.Itoa(len(record))}}, record)
	}
	const want = 8

	for _, ev := range f.waitEvents(want).final() {
		if ev.Data.Source != "mail" || ev.Data.Error == nil || ev.Data.Error.Reason != results.InvalidJob {
			t.Errorf("%+v", ev.Data)
		}
	}
	f.waitIdle()
	if n := len(f.letters(queue.DeadFilter{})); n != want {
		t.Errorf("%d dead letters, want %d", n, want)
	}
}

// JSON writes some characters as six bytes. A job whose metadata consists of them has a larger
// record than others, and still waits and ends as they do.
func TestMetadataThatJSONEscapes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	body := "MZ" + strings.Repeat("x", 1<<20-45<<10)
	f.publish("backburn.jobs.normal.mail", nats.Header{
		nats.MsgIdHdr:             {"a"},
		queue.HeaderFilename:      {"x.exe"},
		queue.HeaderMeta + "note": {strings.Repeat("<", 8000)},
	}, body)
	if ev := f.waitEvents(1).onlyOf(t, "a"); ev.Data.Verdict != wildfire.Benign.String() || len(ev.Data.Metadata["note"]) != 8000 {
		t.Errorf("%s %+v", ev.Outcome(), ev.Data.Error)
	}
}
