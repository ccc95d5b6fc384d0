package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// openString opens contents that are in memory.
func openString(body string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
}

func TestPublishFile(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	large := strings.Repeat("0123456789abcdef", 128<<10) // 2 MiB: more than a message holds
	notUTF8, notUTF8B64 := pipeline.EncodeName("r\xe9sum\xe9.doc")
	cases := map[string]struct {
		job  pipeline.Job
		body string
	}{
		"small":         {pipeline.Job{Filename: "letter.doc", Path: "in/letter.doc", Metadata: map[string]string{"client": "10.0.0.7"}}, "harmless"},
		"large":         {pipeline.Job{Filename: "disk.img", Path: "in/disk.img", Metadata: map[string]string{"client": "10.0.0.7"}}, large},
		"odd-name":      {pipeline.Job{Filename: notUTF8, FilenameB64: notUTF8B64}, "harmless too"},
		"line-break":    {pipeline.Job{Filename: "a\nb.doc"}, "a name that a header would bend"},
		"blank":         {pipeline.Job{Filename: " a.doc "}, "a name that a header would trim"},
		"metadata-case": {pipeline.Job{Filename: "a.doc", Metadata: map[string]string{"Client": "x"}}, "a key that a header would bend"},
	}
	f.startWorker()
	for name, tc := range cases {
		tc.job.ID = name
		tc.job.Source = "mail"
		tc.job.Priority = pipeline.Normal
		for range 2 { // a repeat is harmless
			if err := submitFile(t.Context(), f.q, tc.job, int64(len(tc.body)), openString(tc.body)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	f.waitEvents(len(cases))
	f.waitIdle()
	all := f.waitEvents(len(cases))
	for name, tc := range cases {
		ev := all.onlyOf(t, name)
		got := results.Data{
			Filename: ev.Data.Filename, FilenameB64: ev.Data.FilenameB64, Path: ev.Data.Path,
			Metadata: ev.Data.Metadata, Size: ev.Data.Size, Verdict: ev.Data.Verdict,
		}
		want := results.Data{
			Filename: tc.job.Filename, FilenameB64: tc.job.FilenameB64, Path: tc.job.Path,
			Metadata: tc.job.Metadata, Size: int64(len(tc.body)), Verdict: "benign",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	// A finished job stays finished, and a repeat leaves nothing behind.
	j := cases["large"].job
	j.ID = "large"
	j.Source = "mail"
	j.Priority = pipeline.Normal
	if err := submitFile(t.Context(), f.q, j, int64(len(large)), openString(large)); err != nil {
		t.Fatal(err)
	}
	f.waitIdle()
	if left, err := f.q.Objects().List(t.Context(), ""); err != nil || len(left) != 0 {
		t.Errorf("objects %v are left (%v)", left, err)
	}
}

func TestPublishFileChoosesHowContentsTravel(t *testing.T) {
	t.Parallel()
	f := newFixture(t) // and no worker, so that the messages stay
	publish := func(id, body string) *queue.Letter {
		t.Helper()
		j := pipeline.Job{ID: id, Source: "mail", Priority: pipeline.Urgent, Filename: "a.bin"}
		if err := submitFile(t.Context(), f.q, j, int64(len(body)), openString(body)); err != nil {
			t.Fatal(err)
		}
		s, err := f.q.JetStream().Stream(t.Context(), f.q.JobsStream())
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.GetLastMsgForSubject(t.Context(), "backburn.jobs.urgent.mail")
		if err != nil {
			t.Fatal(err)
		}
		return &queue.Letter{Header: m.Header, Body: m.Data}
	}
	if m := publish("small", "small"); string(m.Body) != "small" || m.Header.Get(queue.HeaderFilename) != "a.bin" || m.Header.Get(nats.MsgIdHdr) != "small" {
		t.Errorf("a small file is not a raw job: %v %q", m.Header, m.Body)
	}
	body := strings.Repeat("x", 1<<20)
	m := publish("large", body)
	other := strings.Repeat("y", 1<<20)
	j := pipeline.Job{ID: "large", Source: "mail", Priority: pipeline.Urgent, Filename: "a.bin"}
	if err := submitFile(t.Context(), f.q, j, 1<<20, openString(other)); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("other contents under the same id: %v", err)
	}
	if !bytes.Contains(m.Body, []byte(`"content":{"object":"job.mail.large"}`)) || !bytes.Contains(m.Body, []byte(`"sha256":"`+sha256Hex(body)+`"`)) {
		t.Errorf("a large file is not an object: %s", m.Body)
	}
}

func TestPublishFileRefusesContentsThatDiffer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	gone := errors.New("gone")
	large := strings.Repeat("x", 1<<20)
	cases := map[string]struct {
		job  pipeline.Job
		size int64
		open func() (io.ReadCloser, error)
		want string
	}{
		"shorter":        {size: 6, open: openString("short"), want: "expected 6 bytes"},
		"longer":         {size: 3, open: openString("long"), want: "expected 3 bytes"},
		"shorter object": {size: 1<<20 + 1, open: openString(large), want: "expected 1048577 bytes"},
		"longer object":  {size: 1<<20 - 1, open: openString(large), want: "expected 1048575 bytes"},
		"other":          {job: pipeline.Job{SHA256: sha256Hex("else")}, size: 4, open: openString("this"), want: "the SHA-256 differs"},
		"other object":   {job: pipeline.Job{SHA256: sha256Hex("else")}, size: 1 << 20, open: openString(large), want: "the SHA-256 differs"},
		"not to be read": {size: 4, open: func() (io.ReadCloser, error) { return nil, gone }, want: "gone"},
		"no source":      {job: pipeline.Job{Source: "A B"}, size: 4, open: openString("this"), want: "source"},
		"long path":      {job: pipeline.Job{Path: strings.Repeat("p", 4097)}, size: 4, open: openString("this"), want: "a name of more than 4096 bytes"},
		"much metadata":  {job: pipeline.Job{Metadata: map[string]string{"k": large[:9000]}}, size: 1 << 20, open: openString(large), want: "metadata of 1 pairs"},
		"another wish":   {job: pipeline.Job{Submit: "perhaps"}, size: 4, open: openString("this"), want: "submit"},
	}
	for name, tc := range cases {
		tc.job.ID = name
		tc.job.Priority = pipeline.Normal
		tc.job.Filename = "a"
		if tc.job.Source == "" {
			tc.job.Source = "mail"
		}
		err := submitFile(t.Context(), f.q, tc.job, tc.size, tc.open)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want one with %q", name, err, tc.want)
		}
	}
	st, err := f.q.Status(t.Context(), f.cfg)
	if err != nil || st.Lanes[pipeline.Normal].Queued != 0 {
		t.Errorf("%d jobs were accepted (%v)", st.Lanes[pipeline.Normal].Queued, err)
	}
	if left, err := f.q.Objects().List(t.Context(), ""); err != nil || len(left) != 0 {
		t.Errorf("objects %v are left (%v)", left, err)
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	j := pipeline.Job{ID: "a", Source: "mail", Priority: pipeline.Normal, Filename: "malware.exe"}

	// No worker runs: the job is accepted, and nothing more happens.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	once := f.q.CheckingPublisher()
	submitted := func() queue.Receipt {
		t.Helper()
		r, err := once.Submit(t.Context(), j, queue.FromFile(2, openString("MZ")))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := submitted(); r.Duplicate {
		t.Error("the first submission is a duplicate")
	}
	_, err := f.q.Ledger().Await(ctx, j.Ref())
	if !errors.Is(err, queue.ErrNoFinalEvent) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want %v", err, queue.ErrNoFinalEvent)
	}
	f.startWorker()
	for range 2 { // during the work, and after its end
		submitted()
		ev, err := f.q.Ledger().Await(t.Context(), j.Ref())
		if err != nil || ev.Data.JobID != "a" || ev.Data.Verdict != "malware" {
			t.Errorf("%+v, %v; want malware", ev.Data, err)
		}
	}
	f.waitEvents(1).onlyOf(t, "a")

	if r := submitted(); !r.Duplicate {
		t.Error("a repeat of a finished job is not a duplicate")
	}
	if _, err := once.Submit(t.Context(), j, queue.FromFile(3, openString("MZ2"))); !errors.Is(err, queue.ErrOtherContents) {
		t.Errorf("other contents under the same id: %v, want %v", err, queue.ErrOtherContents)
	}
}
