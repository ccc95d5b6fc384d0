package pipeline_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func sha256Hex(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// letters reads all letters that match a filter, with their bodies.
func (f *fixture) letters(filter queue.DeadFilter) []queue.Letter {
	f.t.Helper()
	var out []queue.Letter
	for l, err := range f.q.Dead().All(f.t.Context(), filter) {
		if err != nil {
			f.t.Fatal(err)
		}
		whole, err := f.q.Dead().Get(f.t.Context(), l.Seq)
		if err != nil {
			f.t.Fatal(err)
		}
		out = append(out, whole)
	}
	return out
}

// one returns the only letter.
func (f *fixture) letter() queue.Letter {
	f.t.Helper()
	all := f.letters(queue.DeadFilter{})
	if len(all) != 1 {
		f.t.Fatalf("%d dead letters, want 1: %+v", len(all), all)
	}
	return all[0]
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	f.submitRaw("a", "mail", "notes.unsupported", "what is it")
	f.waitEvents(1)
	before := time.Now()
	f.submitRaw("b", "mail", "empty.txt", "")
	f.publish("backburn.jobs.urgent.proxy", nats.Header{"Content-Type": {"application/json"}, nats.MsgIdHdr: {"c"}}, `{"version": 9}`)
	f.waitEvents(3)

	ids := func(filter queue.DeadFilter) []string {
		var out []string
		for _, l := range f.letters(filter) {
			out = append(out, l.Job.ID)
		}
		return out
	}
	for name, tc := range map[string]struct {
		filter queue.DeadFilter
		want   []string
	}{
		"reason":  {queue.DeadFilter{Reason: results.UnsupportedType}, []string{"a"}},
		"source":  {queue.DeadFilter{Source: "proxy"}, []string{"c"}},
		"both":    {queue.DeadFilter{Source: "mail", Reason: results.Empty}, []string{"b"}},
		"nothing": {queue.DeadFilter{Source: "mail", Reason: results.Forbidden}, nil},
	} {
		if diff := cmp.Diff(tc.want, ids(tc.filter)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	if got := ids(queue.DeadFilter{Since: before}); len(got) != 2 || got[0] == "a" {
		t.Errorf("letters since then: %v, want b and c", got)
	}
	l := f.letters(queue.DeadFilter{Source: "proxy"})[0]
	if l.Reason != results.InvalidJob || l.Subject != "backburn.jobs.urgent.proxy" || l.Job.Priority != pipeline.Urgent ||
		string(l.Body) != `{"version": 9}` || l.Raw || !strings.Contains(l.Error, "version 9") {
		t.Errorf("letter c: %+v", l)
	}
	for l, err := range f.q.Dead().All(t.Context(), queue.DeadFilter{Reason: results.UnsupportedType}) {
		if err != nil || l.Body != nil || l.Job.Filename != "notes.unsupported" || l.Job.Size != int64(len("what is it")) || l.Attempts != 1 {
			t.Errorf("letter a without its body: %+v, %v", l, err)
		}
	}
}

// Refusals are remembered, but a replay must ask WildFire again.
func TestAReplayedLetterIsReallyTriedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	heal := f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 418}})
	f.submitRaw("a", "mail", "x.exe", "MZ now and then")
	if ev := f.waitEvents(1).onlyOf(t, "a"); ev.Type != results.Failed {
		t.Fatalf("the job ended %s", ev.Outcome())
	}
	heal()
	f.submitRaw("b", "mail", "y.exe", "MZ now and then")
	if ev := f.waitEvents(2).onlyOf(t, "b"); ev.Type != results.Failed {
		t.Fatalf("the refusal was not remembered: %s", ev.Outcome())
	}

	for _, l := range f.letters(queue.DeadFilter{}) {
		r, err := f.q.Dead().Replay(t.Context(), l.Seq, queue.ReplayOptions{})
		if err != nil || r.Job != l.Job.ID+"~1" {
			t.Fatalf("replay of %s: %+v, %v", l.Job.ID, r, err)
		}
		if _, err := f.q.Dead().Replay(t.Context(), l.Seq, queue.ReplayOptions{}); !errors.Is(err, queue.ErrNoLetter) {
			t.Errorf("replayed twice: %v", err)
		}
	}
	all := f.waitEvents(4)
	for _, id := range []string{"a~1", "b~1"} {
		if ev := all.onlyOf(t, id); ev.Data.Verdict != "benign" || ev.Data.Filename == "" {
			t.Errorf("job %s: %s", id, ev.Outcome())
		}
	}
	if n := f.wildfire.UploadCount(sha256Hex("MZ now and then")); n != 1 {
		t.Errorf("%d uploads were accepted, want 1", n)
	}
	if left := f.letters(queue.DeadFilter{}); len(left) != 0 {
		t.Errorf("letters are left: %+v", left)
	}
}

// A replay is interrupted after the job was submitted, and repeated.
func TestAReplayMayBeRepeated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: http.StatusUnprocessableEntity}})
	stop := f.startWorker()
	f.submitRaw("a", "mail", "x.exe", "MZ")
	f.waitEvents(1)
	stop()
	l := f.letter()
	dead, err := f.q.JetStream().Stream(t.Context(), f.q.DeadStream())
	if err != nil {
		t.Fatal(err)
	}
	copied, err := dead.GetMsg(t.Context(), l.Seq)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.q.Dead().Replay(t.Context(), l.Seq, queue.ReplayOptions{}); err != nil {
		t.Fatal(err)
	}
	copied.Header.Set(nats.MsgIdHdr, "the same letter")
	f.publish("backburn.dead.unprocessable.mail", copied.Header, string(copied.Data))
	if _, err := f.q.Dead().Replay(t.Context(), f.letter().Seq, queue.ReplayOptions{}); err != nil {
		t.Fatal(err)
	}
	f.startWorker()
	f.waitEvents(2)
	f.waitIdle()
	f.waitEvents(2).onlyOf(t, "a~1") // and only one of them
	if l := f.letter(); l.Job.ID != "a~1" || queue.NextID(l.Job.ID) != "a~2" {
		t.Errorf("the next letter is of %s", l.Job.ID)
	}
}

func TestReplayOfMissingContents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	root := t.TempDir()
	f.cfg.Roots["scans"] = root
	f.cfg.MaxFileSize = 10
	f.startWorker()
	const body = "MZ that is too large"
	put := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("x.exe")
	if err := submit(t.Context(), f.q, pipeline.Job{
		ID: "a", Source: "scans", Priority: pipeline.Normal, Version: 1, Kind: pipeline.KindFile, Filename: "x.exe", Content: &pipeline.Content{Path: "x.exe"},
	}); err != nil {
		t.Fatal(err)
	}
	f.waitEvents(1)
	l := f.letter()
	if err := os.Remove(filepath.Join(root, "x.exe")); err != nil {
		t.Fatal(err)
	}
	how := queue.ReplayOptions{Roots: f.cfg.Roots}
	if _, err := f.q.Dead().Replay(t.Context(), l.Seq, how); !errors.Is(err, queue.ErrContentsGone) {
		t.Fatalf("%v, want %v", err, queue.ErrContentsGone)
	}
	f.letter() // still there

	how.Find = func(l queue.Letter) (func() (io.ReadCloser, error), int64, bool) {
		return openString(body), int64(len(body)), true
	}
	how.DryRun = true
	if r, err := f.q.Dead().Replay(t.Context(), l.Seq, how); err != nil || !r.Found || r.Job != "a~1" {
		t.Fatalf("dry run: %+v, %v", r, err)
	}
	f.letter() // still there
	how.DryRun = false
	if r, err := f.q.Dead().Replay(t.Context(), l.Seq, how); err != nil || !r.Found {
		t.Fatalf("replay: %+v, %v", r, err)
	}
	if ev := f.waitEvents(2).onlyOf(t, "a~1"); ev.Data.Error == nil || ev.Data.Error.Reason != results.TooLarge {
		t.Fatalf("job a~1 ended %s, want too_large again: its contents were found", ev.Outcome())
	}
	l = f.letter()
	if l.Job.Content == nil || l.Job.Content.Object == "" {
		t.Fatalf("letter of a~1 has contents %+v, want an object", l.Job.Content)
	}

	// Dropping a letter removes its contents, and a replay reports missing objects.
	if err := f.q.Objects().Delete(t.Context(), l.Job.Content.Object); err != nil {
		t.Fatal(err)
	}
	if _, err := f.q.Dead().Replay(t.Context(), l.Seq, queue.ReplayOptions{}); !errors.Is(err, queue.ErrContentsGone) {
		t.Errorf("%v, want %v", err, queue.ErrContentsGone)
	}
}

func TestReplayOfALink(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.startWorker()
	heal := f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitLink, Fault: wildfiretest.Fault{Status: http.StatusUnprocessableEntity}})
	if err := submit(t.Context(), f.q, pipeline.Job{
		ID: "a", Source: "proxy", Priority: pipeline.Normal, Version: 1, Kind: pipeline.KindURL, URL: "https://example.com/malware",
	}); err != nil {
		t.Fatal(err)
	}
	f.waitEvents(1)
	heal()
	if _, err := f.q.Dead().Replay(t.Context(), f.letter().Seq, queue.ReplayOptions{}); err != nil {
		t.Fatal(err)
	}
	if ev := f.waitEvents(2).onlyOf(t, "a~1"); ev.Data.Verdict != "malware" || ev.Data.URL != "https://example.com/malware" {
		t.Errorf("the link ended %s", ev.Outcome())
	}
}

func TestDrop(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.MaxFileSize = 1 << 20
	f.startWorker()
	body := strings.Repeat("x", 1<<20+1)
	j := pipeline.Job{ID: "a", Source: "mail", Priority: pipeline.Normal, Filename: "a.bin"}
	if err := submitFile(t.Context(), f.q, j, int64(len(body)), openString(body)); err != nil {
		t.Fatal(err)
	}
	f.waitEvents(1)
	l := f.letter()
	if objects, err := f.q.Objects().List(t.Context(), ""); err != nil || len(objects) != 1 {
		t.Fatalf("the contents of a dead letter were not kept: %v, %v", objects, err)
	}
	if err := f.q.Dead().Drop(t.Context(), l.Seq); err != nil {
		t.Fatal(err)
	}
	if objects, err := f.q.Objects().List(t.Context(), ""); err != nil || len(objects) != 0 {
		t.Errorf("objects %v are left, %v", objects, err)
	}
	if err := f.q.Dead().Drop(t.Context(), l.Seq); !errors.Is(err, queue.ErrNoLetter) {
		t.Errorf("dropped twice: %v", err)
	}
}

func TestNextID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"a": "a~1", "a~1": "a~2", "a~9": "a~10", "a~x": "a~x~1", "a~0": "a~0~1", "a~01": "a~01~1", "~1": "~1~1", "a~-1": "a~-1~1",
	} {
		if got := queue.NextID(id); got != want {
			t.Errorf("after %s: %s, want %s", id, got, want)
		}
	}
	if got := queue.FirstID("a~12"); got != "a" {
		t.Errorf("the first ID of a~12 is %s", got)
	}
}

func TestALetterAsJSON(t *testing.T) {
	t.Parallel()
	l := queue.Letter{
		Seq: 7, Reason: results.Empty, Error: "empty", Raw: true,
		Job: pipeline.Job{
			ID:       "a",
			Source:   "mail",
			Priority: pipeline.Bulk,
			Version:  1,
			Kind:     pipeline.KindFile,
			Filename: "x",
		}, Body: []byte("secret contents"),
	}
	got, err := json.Marshal(l)
	const want = `{"seq":7,"time":"0001-01-01T00:00:00Z","reason":"empty","error":"empty","attempts":0,"subject":"","raw":true,` +
		`"job_id":"a","source":"mail","priority":"bulk","job":{"version":1,"kind":"file","filename":"x"}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}
