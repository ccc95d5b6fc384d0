package watch_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"backburn/internal/testkit/needs"
	"backburn/pipeline"
	"backburn/pipeline/watch"
)

const (
	described   = "ab/abababababababababababababababababababababababababababababababab"
	fileinfo    = `{"src_ip":"192.0.2.7","http":{"hostname":"evil.example","url":"/dl/invoice.js"},"fileinfo":{"filename":"/dl/invoice.js","state":"CLOSED"}}`
	olderRecord = `{"src_ip":"192.0.2.8","fileinfo":{"filename":"older.js"}}`
)

// wantDescribed checks that a job has the data of fileinfo.
func wantDescribed(t *testing.T, job pipeline.Job) {
	t.Helper()
	want := map[string]string{"src": "192.0.2.7", "host": "evil.example", "url": "http://evil.example/dl/invoice.js", "state": "closed"}
	if job.Filename != "invoice.js" || job.Path != described || !maps.Equal(job.Metadata, want) {
		t.Errorf("%q, path %q, %v", job.Filename, job.Path, job.Metadata)
	}
}

// Suricata's JSON beside a file becomes the metadata of the file's job. It is never a job itself,
// and is removed with the file. It is used again when the queue has lost its store.
func TestSuricata(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{watch.ClaimMove, watch.ClaimKeep} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) {
				c.Claim, c.Metadata = claim, watch.MetadataSuricata
				c.StaleAfter = 20 * time.Millisecond
				c.Exclude = []string{"tmp"}
			})
			r.options = []watch.Option{watch.WithCatalog(r.intake)}
			r.write("tmp/file.3", "unfinished")
			r.write(described+".1700000000.9.json", olderRecord)
			r.write(described+".1700000001.2.json", fileinfo)
			r.write("cd/"+strings.Repeat("cd", 32)+".1700000001.3.json", olderRecord) // its file no longer exists
			r.write(described, "var x")
			r.start(func(w *watch.Watcher) { w.SetReconcile(10*time.Millisecond, time.Millisecond) })
			wantDescribed(t, r.intake.wait(t, 1)[0])

			r.intake.loseJobs()
			again := r.intake.wait(t, 2)[1]
			wantDescribed(t, again)
			waitFor(t, "scans", afterScans(r, 2))
			if n := len(r.intake.all()); n != 2 {
				t.Errorf("%d publications, want 2 of one job: %+v", n, r.intake.all())
			}

			r.outcomes.send(verdict(again, "malware"))
			r.outcomes.waitHandled(t)
			left := r.tree("ab")
			want := []string{described[3:], described[3:] + ".1700000000.9.json", described[3:] + ".1700000001.2.json"}
			if claim == watch.ClaimMove {
				want = want[1:2]
			}
			slices.Sort(left)
			if !slices.Equal(left, want) {
				t.Errorf("left: %q, want %q", left, want)
			}
			if kept := r.tree(".backburn/beside"); len(kept) > 0 {
				t.Errorf("kept: %q", kept)
			}
		})
	}
}

// A watcher that is restarted after a crash finds the description, whether or not it was already
// moved.
func TestDescriptionAfterACrash(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"claimed", "hashed", "synced"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) { c.Metadata = watch.MetadataSuricata })
			r.write(described+".1700000001.2.json", fileinfo)
			r.write(described, "var x")
			r.intake.setRefuse(func(pipeline.Job) error { return pipeline.ErrFull })
			reached := make(chan struct{}, 16)
			r.start(func(w *watch.Watcher) {
				w.SetStep(func(step string) {
					if step == at {
						reached <- struct{}{}
					}
				})
			})
			<-reached
			r.stop()
			if at == "claimed" { // as if the crash came before the description was moved
				for _, name := range r.tree(".backburn/beside") {
					must(t, os.Rename(r.path(".backburn/beside/"+name), r.path(described+".1700000001.2.json")))
				}
			}

			r.intake.setRefuse(nil)
			r.outcomes = newOutcomes()
			r.start()
			wantDescribed(t, r.intake.wait(t, 1)[0])
		})
	}
}

// <name>.json is written before its file, and waits for it. With a done file it is required. If it
// cannot be used, the job's metadata says so.
func TestJSONBesideAFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) {
		c.Metadata, c.DoneFile = watch.MetadataJSON, "{name}.json"
	})
	r.write("a.json", `{"filename":"true name.docm","metadata":{"url":"http://x.example/"}}`)
	r.write("b.json", `{"metadata":[]}`)
	r.write("c", "no description")
	r.start()
	waitFor(t, "scans", afterScans(r, 3))
	if n := len(r.intake.all()); n > 0 {
		t.Errorf("%+v", r.intake.all())
	}
	r.write("a", "A")
	r.write("b", "B")
	jobs := map[string]pipeline.Job{}
	for _, j := range r.intake.wait(t, 2) {
		jobs[j.Path] = j
	}
	if j := jobs["a"]; j.Filename != "true name.docm" || !maps.Equal(j.Metadata, map[string]string{"url": "http://x.example/"}) {
		t.Errorf("%+v", j)
	}
	if j := jobs["b"]; j.Filename != "b" || len(j.Metadata) != 1 || !strings.Contains(j.Metadata["metadata-error"], "unexpected JSON") {
		t.Errorf("%+v", j)
	}
	if got := r.tree(""); !slices.Equal(got, []string{"c"}) {
		t.Errorf("left: %q", got)
	}
}

// JSON waits for its file even without a done file.
func TestJSONWaitsForItsFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Metadata = watch.MetadataJSON })
	r.write("a.json", `{"metadata":{"k":"v"}}`)
	r.start()
	waitFor(t, "scans", afterScans(r, 4))
	r.write("a", "A")
	r.intake.wait(t, 1)
	waitFor(t, "scans", afterScans(r, 6))
	if jobs := r.intake.all(); len(jobs) != 1 || jobs[0].Path != "a" || jobs[0].Metadata["k"] != "v" {
		t.Errorf("%+v", jobs)
	}
}

// JSON without its file becomes a job of its own after a while.
func TestJSONWithoutItsFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Metadata, c.StaleAfter = watch.MetadataJSON, 100*time.Millisecond })
	r.write("a.json", `{}`)
	r.start()
	if j := r.intake.wait(t, 1)[0]; j.Filename != "a.json" || len(j.Metadata) > 0 {
		t.Errorf("%+v", j)
	}
}

// An entry beside a file that is not a regular file is left alone.
func TestOddEntriesBesideAFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Metadata = watch.MetadataJSON })
	secret := r.t.TempDir() + "/secret.json"
	must(t, os.WriteFile(secret, []byte(`{"filename":"stolen"}`), 0o600))
	if err := os.Symlink(secret, r.path("a.json")); err != nil {
		needs.CannotRun(t, "links cannot be made here: %v", err)
	}
	r.write("b.json/c", "in a folder of that name")
	r.write("d.json", strings.Repeat(" ", 70_000)+"{}")
	for _, name := range []string{"a", "b", "d"} {
		r.write(name, name)
	}
	r.start()
	for _, j := range r.intake.wait(t, 4) {
		switch j.Path {
		case "d":
			if !strings.Contains(j.Metadata["metadata-error"], "65536") {
				t.Errorf("%+v", j)
			}
		default:
			if j.Filename == "stolen" || len(j.Metadata) > 0 {
				t.Errorf("%+v", j)
			}
		}
	}
	if _, err := os.Lstat(r.path("a.json")); err != nil {
		t.Error(err)
	}
}

// Unclaim returns the metadata of a claimed file with the file, under its new name if it has one.
func TestUnclaimReturnsMetadata(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *watch.Config) { c.Metadata = watch.MetadataJSON })
	r.write("sub/a.exe.json", `{"filename":"first.exe"}`)
	r.write("sub/a.exe", "first")
	r.write("b", "without metadata")
	r.start()
	r.intake.wait(t, 2)
	r.stop()
	r.write("sub/a.exe", "second")

	moved := map[string]string{}
	left, err := watch.Unclaim(t.Context(), r.dir, false, func(_, to string) {
		b, err := os.ReadFile(r.path(to))
		must(t, err)
		moved[to] = string(b)
	})
	must(t, err)
	want := map[string]string{"sub/a.1.exe": "first", "sub/a.1.exe.json": `{"filename":"first.exe"}`, "b": "without metadata"}
	if !maps.Equal(moved, want) || left != 0 {
		t.Errorf("returned: %q, %d are left", moved, left)
	}
}
