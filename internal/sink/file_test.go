package sink_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backburn/internal/sink"
	"backburn/results"
)

// newArchive returns a file target in a new folder.
func newArchive(t *testing.T, change func(*sink.Config)) (f *sink.File, path string) {
	t.Helper()
	cfg := sink.Config{Path: filepath.Join(t.TempDir(), "events.jsonl"), Mode: "0600"}
	if change != nil {
		change(&cfg)
	}
	f = newFile(t, cfg)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, cfg.Path
}

func newFile(t *testing.T, cfg sink.Config) *sink.File {
	t.Helper()
	f, err := sink.NewFile(cfg)
	if err != nil {
		t.Fatal(err)
	}

	return f
}

func send(t *testing.T, f sink.Target, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := f.Send(t.Context(), message(t, event(id))); err != nil {
			t.Fatal(err)
		}
	}
}

// jobsInFile returns the jobs in a file's lines. Partial or invalid lines are errors.
func jobsInFile(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	return jobsIn(t, path, b)
}

// completeJobsInFile returns the jobs in the complete lines of a file that is being jobsInFile.
func completeJobsInFile(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	return jobsIn(t, path, b[:bytes.LastIndexByte(b, '\n')+1])
}

func jobsIn(t *testing.T, path string, b []byte) []string {
	t.Helper()
	if bytes.IndexByte(b, 0) >= 0 {
		t.Errorf("%s has NUL bytes", path)
	}
	jobs := []string{}
	for line := range strings.Lines(string(b)) {
		var e results.Event
		if err := e.UnmarshalJSON([]byte(line)); err != nil || !strings.HasSuffix(line, "\n") {
			t.Errorf("%s: %q: %v", path, line, err)
		}
		jobs = append(jobs, e.Data.JobID)
	}
	return jobs
}

func wantJobsInFile(t *testing.T, path string, want ...string) {
	t.Helper()
	if got := jobsInFile(t, path); !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", path, got, want)
	}
}

func TestFileRotatesBySize(t *testing.T) {
	t.Parallel()
	for _, keep := range []int{0, 2} {
		f, path := newArchive(t, func(c *sink.Config) { c.MaxSize, c.MaxBackups = 1_000_000, keep })
		m := message(t, event("a"))
		m.Body = []byte(`{"x":"` + strings.Repeat("x", 100_000) + `"}`)
		const n = 95
		for range n {
			if err := f.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		others := filepath.Join(filepath.Dir(path), "events-of-others.jsonl")
		if err := os.WriteFile(others, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "events-2*.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for _, name := range append(files, path) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > 1_000_000 {
				t.Errorf("%s has %d bytes", name, len(b))
			}
			lines += bytes.Count(b, []byte("\n"))
		}
		if want := 10; keep == 0 && (len(files) != want || lines != n) {
			t.Errorf("%d files with %d lines, want %d with %d", len(files), lines, want, n)
		}
		if keep > 0 && len(files) != keep {
			t.Errorf("%d files are kept, want %d", len(files), keep)
		}
		if _, err := os.Stat(others); err != nil {
			t.Error(err)
		}
	}
}

// After the clock was set back, a rotation still removes the oldest file, not the newest.
func TestFileRotatesAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	f, path := newArchive(t, func(c *sink.Config) { c.MaxSize, c.MaxBackups = 1_000_000, 2 })
	for _, stamp := range []string{"20990101T000000.000000000Z", "20990102T000000.000000000Z"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "events-"+stamp+".jsonl"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := message(t, event("a"))
	m.Body = []byte(`"` + strings.Repeat("x", 600_000) + `"`)
	for range 2 {
		if err := f.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "events-2*.jsonl"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	if info, err := os.Stat(files[1]); err != nil || info.Size() < 600_000 {
		t.Errorf("the newest file is not kept: %q, %v", files, err)
	}
}

// Whatever other programs do with the file, each line is appended to the file that has the name.
func TestFileFollowsItsName(t *testing.T) {
	t.Parallel()
	f, path := newArchive(t, nil)
	send(t, f, "one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	send(t, f, "two")
	wantJobsInFile(t, path+".1", "one")
	wantJobsInFile(t, path, "two")

	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o640); err != nil { // like logrotate's "create"
		t.Fatal(err)
	}
	send(t, f, "three")
	wantJobsInFile(t, path, "three")

	if err := os.Truncate(path, 0); err != nil { // like logrotate's "copytruncate"
		t.Fatal(err)
	}
	send(t, f, "four")
	wantJobsInFile(t, path, "four")

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	send(t, f, "five")
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	send(t, f, "six")
	wantJobsInFile(t, path, "six")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	send(t, f, "seven")
	wantJobsInFile(t, path, "six", "seven")
}

func TestFileIsCreatedWithItsMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o664} {
		f, path := newArchive(t, func(c *sink.Config) { c.Mode = fmt.Sprintf("%04o", mode) })
		send(t, f, "one")
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("mode %v, want %v", info.Mode().Perm(), mode)
		}
		// The mode of an existing file is kept.
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		send(t, f, "two")
		if info, err = os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%v %v", info.Mode(), err)
		}
	}
}

// A partial line left by a crash does not affect the next line.
func TestFileEndsAPartialLine(t *testing.T) {
	t.Parallel()
	f, path := newArchive(t, nil)
	if err := os.WriteFile(path, []byte(`{"specversion":"1.0","id":"to`), 0o600); err != nil {
		t.Fatal(err)
	}
	send(t, f, "one", "two")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(string(b), "\n"); len(lines) != 4 || !strings.Contains(lines[1], "one.verdict") || !strings.Contains(lines[2], "two.verdict") {
		t.Errorf("%q", lines)
	}
}

func TestFileTargetMustBeAFile(t *testing.T) {
	t.Parallel()
	f, path := newArchive(t, nil)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	err := f.Send(t.Context(), message(t, event("one")))
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v", err)
	}
}

// Two writers, such as a sink and its replay, do not mix their lines.
func TestFileWithTwoWriters(t *testing.T) {
	t.Parallel()
	f, path := newArchive(t, nil)
	other := newFile(t, sink.Config{Path: path, Mode: "0600"})
	defer other.Close()
	done := make(chan error, 1)
	const n = 200
	for i, w := range []*sink.File{f, other} {
		go func() {
			for j := range n {
				if err := w.Send(t.Context(), message(t, event(fmt.Sprintf("%d-%d", i, j)))); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if got := jobsInFile(t, path); len(got) != 2*n {
		t.Errorf("%d lines, want %d", len(got), 2*n)
	}
}
