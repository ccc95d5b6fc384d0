package watch_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backburn/internal/guard"
	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// TestOwnFilesAreLeftAlone puts one of Backburn's own files, one of its folders, and a file that
// contains a secret into the watched folder. Backburn's own files stay there and are reported at
// once. The file with the secret is submitted as one that must not be uploaded.
func TestOwnFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{watch.ClaimMove, watch.ClaimKeep} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			const secret = "0f3b-a-secret-of-this-process"
			r := newRig(t, func(c *watch.Config) { c.Claim = claim })
			elsewhere := t.TempDir()
			at := func(name string) string { return filepath.Join(elsewhere, name) }
			must(t, os.MkdirAll(at("store/streams"), 0o700))
			must(t, os.WriteFile(at("store/streams/block"), []byte("state"), 0o600))
			must(t, os.WriteFile(at("config"), []byte("not a secret"), 0o600))
			r.options = []watch.Option{watch.WithGuard(guard.New([]guard.Own{
				{Key: "the.secret", Value: func() string { return secret }},
				{Key: "--config", Path: at("config")},
				{Key: "the.store", Path: at("store")},
			}))}
			must(t, os.Rename(at("config"), r.path("config")))
			must(t, os.Rename(at("store"), r.path("store")))
			r.write("holds.txt", "password = "+secret)
			r.write("plain.txt", "nothing")
			r.start()

			for _, j := range r.intake.wait(t, 2) {
				want, why := pipeline.SubmitNever, "the contents contain one of Backburn's own secrets (the.secret)"
				if j.Filename == "plain.txt" {
					want, why = "", ""
				}
				if j.Submit != want || j.SubmitReason != why || j.SHA256 == "" {
					t.Errorf("%s is submitted with %q: %q", j.Path, j.Submit, j.SubmitReason)
				}
			}
			waitFor(t, "both to be reported", func() bool { return r.w.Status().Troubled == 2 && r.gauge("troubled_files") == 2 })
			keys := map[string]string{"config": "(--config)", "store": "(the.store)"}
			for _, trouble := range r.w.Status().Troubles {
				if !strings.Contains(trouble.Reason, keys[trouble.Path]) || keys[trouble.Path] == "" {
					t.Errorf("reported: %+v", trouble)
				}
			}
			if s := r.w.Status(); s.State != watch.StateOK {
				t.Errorf("the folder is %s: %s", s.State, s.Reason)
			}
			waitFor(t, "two more scans", afterScans(r, 2))
			if n := len(r.intake.all()); n != 2 {
				t.Errorf("%d jobs: %+v", n, r.intake.all())
			}
			for _, name := range []string{"config", "store/streams/block"} {
				if _, err := os.Stat(r.path(name)); err != nil {
					t.Error(err)
				}
			}

			must(t, os.Rename(r.path("store"), at("store")))
			must(t, os.Rename(r.path("config"), at("config")))
			waitFor(t, "the trouble to end", func() bool { return r.w.Status().Troubled == 0 })
		})
	}
}
