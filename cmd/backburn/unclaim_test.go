package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backburn/internal/testkit"
)

// unclaim returns claimed files to their original places and, with --kept, judged files too.
func TestUnclaim(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	p := s.Start("backburn", "run")
	p.Logged("ready")
	folder := s.Path("quarantine")
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	inSpool := func(pattern string) int {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(folder, ".backburn", pattern))
		if err != nil {
			t.Fatal(err)
		}

		return len(found)
	}

	put("malware.exe", "MZ malware")
	put("sub/never.exe", "MZ never")
	put("never.exe", "MZ never again")
	s.Until("one verdict, two claims", func() bool {
		return inSpool("done/malware/*malware.exe") == 1 && inSpool("claimed/*never.exe") == 2
	})
	p.Stop()
	put("never.exe", "MZ in its place")

	run := func(code int, args ...string) string {
		t.Helper()
		p := s.Start("backburn", append([]string{"unclaim"}, args...)...)
		if got := p.Wait(); got != code {
			t.Fatalf("exit code %d, want %d: %s", got, code, p.Stderr())
		}

		return p.Stdout()
	}
	if out := run(0); strings.Count(out, "\n") != 2 || !strings.Contains(out, filepath.Join("sub", "never.exe")) {
		t.Errorf("it printed %q", out)
	}

	for name, want := range map[string]string{"never.exe": "MZ in its place", "sub/never.exe": "MZ never", "never.1.exe": "MZ never again"} {
		if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(got) != want {
			t.Errorf("%s contains %q, want %q (%v)", name, got, want, err)
		}
	}

	if inSpool("done/malware/*") != 1 || inSpool("claimed/*.exe") != 0 {
		t.Error("a judged file moved, or a claimed one did not")
	}

	run(2, "--kept") // standard input is not a terminal
	run(0, "--kept", "--yes", folder)
	if _, err := os.Stat(filepath.Join(folder, "malware.exe")); err != nil {
		t.Error(err)
	}

	run(0) // again, with nothing left to do
}
