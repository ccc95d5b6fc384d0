package main

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
)

// TestOneFileInTrouble: one file cannot be claimed. All outputs report it, the process stays ready,
// and the other files get their verdicts.
func TestOneFileInTrouble(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	files := testkit.Mixed(4, rand.New(rand.NewPCG(10, 10)))
	s.Drop(files...)
	stuck := s.Path("quarantine", "stuck.exe")
	if err := os.WriteFile(stuck, []byte("stuck"), 0o600); err != nil {
		t.Fatal(err)
	}

	release := needs.Immutable(t, stuck)

	p := s.Start("backburn", "run")
	p.Until("/readyz", func(status int, body string) bool {
		return status == 200 && strings.Contains(body, `"note"`) && strings.Contains(body, "stuck.exe") && strings.Contains(body, "immutable")
	})
	p.Until("/metrics", func(_ int, body string) bool {
		return strings.Contains(body, `backburn_watch_troubled_files{source="quarantine"} 1`) &&
			strings.Contains(body, `backburn_part_state{of="quarantine",part="folder_files",state="ok"} 1`)
	})
	p.Until("/api/status", func(_ int, body string) bool { return strings.Contains(body, `"path":"stuck.exe"`) })
	p.Logged("cannot process a file; retrying")
	testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
	release()
	p.Logged("the fault of a file has ended, or the file is gone")
	p.Stop()
}
