package pipeline_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"backburn/internal/guard"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/wildfire"
)

const ownSecret = "9c41-of-this-process-alone-77f0"

// newGuard knows one secret, and protects one file and one folder in dir that contain no secret.
func newGuard(t *testing.T, dir string) *guard.Guard {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "store", "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.toml", "store/below/block", ".backburn/ledger.db", ".backburn/done/benign/old.exe", "plain.exe"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("MZ "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return guard.New([]guard.Own{
		{Key: "the.secret", Value: func() string { return ownSecret }},
		{Key: "--config", Path: filepath.Join(dir, "config.toml")},
		{Key: "nats.embedded.store_dir", Path: filepath.Join(dir, "store")},
	})
}

// A worker that knows a secret uploads no contents with that secret, nor sends their hash, for
// every kind of job. If contents are too large to scan before the upload, nothing from the secret
// on is sent.
func TestWorkerWithholdsItsSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	dir := t.TempDir()
	f.cfg.Roots = map[string]string{"mail": dir}
	g := newGuard(t, dir)
	js := f.q.JetStream()
	objects, err := js.ObjectStore(t.Context(), f.q.FilesBucket())
	if err != nil {
		t.Fatal(err)
	}
	json := func(id, text string) {
		t.Helper()
		f.publish("backburn.jobs.normal.mail", nats.Header{nats.MsgIdHdr: {id}, "Content-Type": {"application/json"}}, text)
	}
	reference := func(id, content string) {
		t.Helper()
		json(id, `{"version":1,"kind":"file","filename":"a.exe",`+content+`}`)
	}
	write := func(name, content string) string {
		t.Helper()
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return sha256Hex(content)
	}

	f.submitRaw("raw", "mail", "a.exe", "MZ "+ownSecret)
	f.submitRaw("name", "mail", ownSecret+".exe", "MZ name")
	f.submitRaw("free", "mail", "a.exe", "MZ nothing of ours")
	if _, err := objects.PutString(t.Context(), "an-object", "MZ object "+ownSecret); err != nil {
		t.Fatal(err)
	}
	reference("object", `"content":{"object":"an-object"}`)
	write("a.exe", "MZ path "+ownSecret)
	reference("path", `"content":{"path":"a.exe"}`)
	reference("configuration", `"content":{"path":"config.toml"}`)
	reference("store", `"content":{"path":"store/below/block"}`)
	reference("ledger", `"content":{"path":".backburn/ledger.db"}`)
	reference("done", `"content":{"path":".backburn/done/benign/old.exe"}`)
	sum := write(".backburn/claimed/spool-a.exe", "MZ spool "+ownSecret)
	reference("spool", `"sha256":"`+sum+`","content":{"path":".backburn/claimed/spool-a.exe"}`)
	large := "MZ large" + strings.Repeat("0123456789abcdef", 200_000)
	sum = write(".backburn/claimed/large-a.exe", large+ownSecret)
	reference("large", `"sha256":"`+sum+`","content":{"path":".backburn/claimed/large-a.exe"}`)
	json("link", `{"version":1,"kind":"url","url":"https://example.com/?t=`+ownSecret+`"}`)

	f.startWorker(worker.WithGuard(g))
	all := f.waitEvents(12)

	for job, key := range map[string]string{
		"raw": "the.secret", "name": "the.secret", "object": "the.secret", "path": "the.secret", "spool": "the.secret",
		"large": "the.secret", "link": "the.secret", "configuration": "--config", "store": "nats.embedded.store_dir", "ledger": "belongs to a watcher",
	} {
		ev := all.onlyOf(t, job)
		if ev.Outcome() != "withheld" || !strings.Contains(ev.Data.Error.Message, key) {
			t.Errorf("%s ends as %s: %+v", job, ev.Outcome(), ev.Data.Error)
		}
		if byContents := key == "the.secret" && job != "link"; byContents && (ev.Data.SHA256 == "" || ev.Data.Size == 0) {
			t.Errorf("the event of %s has no hash or size: %+v", job, ev.Data)
		}
	}
	for _, job := range []string{"free", "done"} {
		if ev := all.onlyOf(t, job); ev.Data.Verdict == "" {
			t.Errorf("%s ends as %s", job, ev.Outcome())
		}
	}
	if n := f.wildfire.CountStatus(wildfire.OpSubmitFile, 200) + f.wildfire.Count(wildfire.OpSubmitLink); n != 2 {
		t.Errorf("%d submissions, want two", n)
	}
	if n := f.wildfire.Count(wildfire.OpSubmitFile); n > 3 {
		t.Errorf("%d uploads were started, want those two and that of the large contents", n)
	}
	f.waitIdle()
}

// The publisher scans contents as well, because its secrets may differ from the worker's.
func TestPublisherWithholdsItsSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.q.Publisher().Guarded(newGuard(t, t.TempDir()))
	submit := func(id string, c queue.Input) {
		t.Helper()
		if _, err := p.Submit(t.Context(), pipeline.Job{ID: id, Source: "gw", Priority: pipeline.Normal, Filename: "a.exe"}, c); err != nil {
			t.Fatal(err)
		}
	}
	known := func(s string) queue.Input {
		return queue.FromFile(int64(len(s)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil })
	}

	submit("in a message", known("MZ in a message "+ownSecret))
	submit("of unknown size", queue.FromReader(strings.NewReader("MZ "+ownSecret), 1<<20))
	submit("as an object", known("MZ "+strings.Repeat("0123456789abcdef", 600_000)+ownSecret))
	submit("free", known("MZ nothing of ours"))
	f.startWorker()
	all := f.waitEvents(4)

	for _, job := range []string{"in a message", "of unknown size", "as an object"} {
		ev := all.onlyOf(t, job)
		if ev.Outcome() != "withheld" || !strings.Contains(ev.Data.Error.Message, "contain one of Backburn's own secrets (the.secret)") {
			t.Errorf("%s ends as %s: %+v", job, ev.Outcome(), ev.Data.Error)
		}
	}
	if ev := all.onlyOf(t, "free"); ev.Data.Verdict == "" {
		t.Errorf("free ends as %s", ev.Outcome())
	}
	if n := f.wildfire.Count(wildfire.OpSubmitFile); n != 1 {
		t.Errorf("%d uploads, want one", n)
	}
	f.waitIdle()
}
