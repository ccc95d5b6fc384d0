package watch_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/watch"
	"backburn/pipeline/watch/spool"
	"backburn/results"
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestFileBecomesJob(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.write("before.exe", "there before the start")
	r.start()
	r.intake.wait(t, 1)
	r.write("mail/2026/invoice.exe", "MZ contents")
	jobs := r.intake.wait(t, 2)

	job := jobs[1]
	if got := r.content(job); got != "MZ contents" {
		t.Errorf("content is %q", got)
	}
	if job.Content.Path != ".backburn/claimed/"+job.ID+"-invoice.exe" {
		t.Errorf("content path is %q", job.Content.Path)
	}
	if age := time.Since(job.ReceivedAt); age < -time.Second || age > testTimeout {
		t.Errorf("received_at is %v", job.ReceivedAt)
	}
	job.Content, job.ReceivedAt = nil, time.Time{}
	want := pipeline.Job{
		ID: job.ID, Source: "test", Priority: pipeline.Normal, Version: 1, Kind: pipeline.KindFile,
		Filename: "invoice.exe", Path: "mail/2026/invoice.exe", Size: 11, SHA256: sum("MZ contents"),
	}
	if fmt.Sprintf("%+v", job) != fmt.Sprintf("%+v", want) {
		t.Errorf("job is  %+v\nwant    %+v", job, want)
	}
	if left := r.tree(""); len(left) != 0 {
		t.Errorf("left in the folder: %v", left)
	}
}

// TestOrderOfSteps processes one file at a time, so that the steps of different files do not mix.
func TestOrderOfSteps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*watch.Config)
		want   string
	}{
		"move":   {func(*watch.Config) {}, "claimed hashed flushed synced published moved"},
		"object": {func(c *watch.Config) { c.Transfer = watch.TransferObject }, "claimed hashed flushed synced stored published moved"},
		"keep":   {func(c *watch.Config) { c.Claim = watch.ClaimKeep }, "hashed flushed synced claimed published recorded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(cfg *watch.Config) { cfg.MaxInFlight = 1; c.change(cfg) })
			steps := make(chan string, 1000)
			r.start(func(w *watch.Watcher) { w.SetStep(func(step string) { steps <- step }) })
			for i := range 5 {
				r.write(fmt.Sprint(i), fmt.Sprint(i))
				job := r.intake.wait(t, i+1)[i]
				for _, want := range strings.Fields(c.want) {
					if want == "moved" {
						r.outcomes.send(verdict(job, "benign"))
					}
					if got := <-steps; got != want {
						t.Fatalf("got step %q, want %q", got, want)
					}
				}
				if name == "keep" {
					r.outcomes.send(verdict(job, "benign"))
				}
				r.outcomes.waitHandled(t)
			}
		})
	}
}

func TestAfterFinalEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.start()
	want := map[string]bool{}
	for _, v := range []string{"benign", "malware", "grayware", "phishing", "c2", "unrecognised", "who-knows", "../up"} {
		r.write(path.Base(v)+".bin", v)
	}
	r.write("failed.bin", "failed")
	for _, job := range r.intake.wait(t, 9) {
		v := r.content(job)
		e := verdict(job, v)
		dir := v
		if v == "failed" {
			e = failure(job, results.UnsupportedType)
		}
		if v == "who-knows" || v == "../up" {
			dir = "unrecognised"
		}
		want[dir+"/"+job.ID+"-"+job.Filename] = true
		r.outcomes.send(e, e)
	}
	r.outcomes.waitHandled(t)
	got := r.tree(".backburn/done")
	if len(got) != len(want) {
		t.Errorf("done has %v", got)
	}
	for _, name := range got {
		if !want[name] {
			t.Errorf("done has %s", name)
		}
	}
	if left := r.tree(".backburn/claimed"); len(left) != 0 {
		t.Errorf("left in claimed: %v", left)
	}
	if n := r.w.Status().InFlight; n != 0 {
		t.Errorf("in flight: %d", n)
	}
}

func TestClaimedFilesArePublishedAgainAtRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	refused := make(chan struct{}, 100)
	r.intake.setRefuse(func(pipeline.Job) error { refused <- struct{}{}; return pipeline.ErrFull })
	r.write("a/b/c.exe", "one")
	r.start()
	<-refused
	r.stop()
	r.intake.setRefuse(nil)
	r.start()
	job := r.intake.wait(t, 1)[0]
	if job.Path != "a/b/c.exe" || r.content(job) != "one" {
		t.Errorf("job is %+v", job)
	}
	r.stop()
	r.start()
	waitFor(t, "the repeat", func() bool {
		r.intake.mu.Lock()
		defer r.intake.mu.Unlock()
		return r.intake.repeats == 1
	})
	r.outcomes.send(verdict(job, "benign"))
	r.outcomes.waitHandled(t)
	if got := r.tree(".backburn/done/benign"); len(got) != 1 {
		t.Errorf("done has %v", got)
	}
}

// A file is often first seen between its creation and its first write. The longer wait for empty
// files must end once the file has contents.
func TestLongWaitEndsOnceAFileHasContents(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Settle = time.Second })
	r.start()
	r.write("empty.bin", "")
	waitFor(t, "the empty file to be seen", func() bool { return r.w.Status().Pending == 1 })
	r.write("late.bin", "")
	waitFor(t, "the other file to be seen", func() bool { return r.w.Status().Pending == 2 })
	r.write("late.bin", "contents")
	if first := r.intake.wait(t, 1)[0]; first.Path != "late.bin" {
		t.Errorf("%s was taken first", first.Path)
	}
}

// The clock was set back after a file was claimed, for example because a machine boots with the
// time of its last shutdown. The claim is still valid, and the file is published.
func TestClaimFromTheFuture(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Scan = time.Hour })
	id := spool.NewID(time.Now().Add(24*time.Hour), spool.RootTag)
	r.write(".backburn/claimed/"+id+"-a.exe", "a")
	r.start()
	if j := r.intake.wait(t, 1)[0]; j.ID != id || j.Path != "a.exe" {
		t.Errorf("job is %+v", j)
	}
}
