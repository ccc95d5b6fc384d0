package plan_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"backburn/internal/plan"
	"backburn/pipeline"
	"backburn/wildfire"
)

func memory(t *testing.T, name string) *plan.State {
	t.Helper()
	m, err := plan.OpenState(name)
	if err != nil {
		t.Fatal(err)
	}

	return m
}

// hashAll hashes files, and counts the files that the state knew.
func hashAll(t *testing.T, m *plan.State, paths ...string) (files map[string]plan.File, remembered int, failed []string) {
	t.Helper()
	files = map[string]plan.File{}
	h := plan.Hasher{
		State: m,
		Types: true,
		Done: func(f plan.File, known bool) {
			files[f.Path] = f
			if known {
				remembered++
			}
		},
		Failed: func(path string, _ error) { failed = append(failed, path) },
	}
	err := h.Run(t.Context(), func(visit func(string) error) error {
		for _, p := range paths {
			if err := visit(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	return files, remembered, failed
}

func TestHashingResumes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := filepath.Join(dir, "state", "plan.jsonl")
	var paths []string
	for i := range 300 {
		name := filepath.Join(dir, fmt.Sprintf("f-%d-\xff.txt", i)) // not UTF-8
		if err := os.WriteFile(name, []byte(fmt.Sprint("contents ", i)), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, name)
	}
	missing := filepath.Join(dir, "missing")

	m := memory(t, state)
	if _, err := plan.OpenState(state); !errors.Is(err, plan.ErrInUse) {
		t.Errorf("a second plan with the same state: %v", err)
	}
	first, remembered, failed := hashAll(t, m, append(paths, dir, missing)...)
	if len(first) != 300 || remembered != 0 || len(failed) != 2 {
		t.Fatalf("%d files, %d remembered, failed: %v", len(first), remembered, failed)
	}
	if f := first[paths[7]]; f.SHA256 != sha("contents 7") || f.Types[0] != "text/plain" {
		t.Errorf("hashed: %+v", f)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}

	// The process is killed while it writes a line: only that line is lost.
	body, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, body[:len(body)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(paths[0], []byte("other contents"), 0o600); err != nil {
		t.Fatal(err)
	}

	m = memory(t, state)
	second, remembered, _ := hashAll(t, m, paths...)
	if remembered < 298 || remembered > 299 {
		t.Errorf("%d of 300 files are remembered, want all but the changed one and the truncated one", remembered)
	}
	if second[paths[0]].SHA256 == first[paths[0]].SHA256 {
		t.Error("a changed file has the old hash")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}

	m = memory(t, state)
	defer m.Close()
	if _, remembered, _ = hashAll(t, m, paths...); remembered != 300 {
		t.Errorf("%d are remembered after a line was truncated", remembered)
	}
}

func TestStateKeepsAnswersAndSubmissions(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "plan.jsonl")
	m := memory(t, state)
	at := time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)
	a := plan.Answer{Verdict: wildfire.Benign, At: at}
	for _, err := range []error{m.Answered("a", a), m.MarkSubmitted("b", at), m.MarkSubmitted("c", at.Add(2*time.Hour)), m.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}

	m = memory(t, state)
	defer m.Close()
	if got, ok := m.Answer("a"); !ok || got != a {
		t.Errorf("answer %+v, %v", got, ok)
	}
	if _, ok := m.Answer("b"); ok || m.Submitted("a") || !m.Submitted("b") {
		t.Error("answers and submissions are mixed up")
	}
	if n := m.SubmittedOn(at); n != 1 {
		t.Errorf("%d were submitted on the first day, want 1", n)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	cfg := pipeline.DefaultConfig()
	cfg.MaxFileSize = 1000
	cfg.Rules = []pipeline.Rule{
		{Name: "*.secret", Submit: pipeline.SubmitNever},
		{Name: "*.private", Submit: pipeline.SubmitLookup},
		{MinSize: 500, Submit: pipeline.SubmitAlways, UploadsPerDay: 2},
	}
	v := &plan.Inventory{Source: "plan", Config: cfg}
	add := func(name, sum string, size int64) {
		v.Add(plan.File{Path: name, Size: size, SHA256: sum, Types: []string{"text/plain"}})
	}
	add("known.txt", "known", 10)
	add("copy.txt", "known", 10)
	add("here.txt", "here", 10)
	add("pending.txt", "pending", 10)
	add("a.secret", "secret", 10)
	add("a.private", "private", 10)
	add("b.private", "twofold", 10)
	add("b.txt", "twofold", 10) // with this name it may be uploaded
	add("late.txt", "late", 10)
	add("large", "large", 1001)
	add("empty", "empty", 0)
	for i := range 5 {
		add("big", fmt.Sprint("big-", i), 600)
	}
	for i := range 200 {
		add("many", fmt.Sprint("many-", i), 1)
	}
	v.Fail()

	if n := len(v.ToAsk()); n != 212-1 {
		t.Errorf("%d to ask about", n)
	}
	for _, c := range v.Contents() {
		say := func(code wildfire.Verdict) { c.Answer = &plan.Answer{Verdict: code} }
		switch c.File.SHA256 {
		case "known":
			say(wildfire.Malware)
		case "here":
			say(wildfire.Benign)
			c.FromFleet = true
		case "pending":
			say(wildfire.Pending)
		case "secret", "late":
		default:
			say(wildfire.Unknown)
		}
	}

	got := v.Summarize(3, 100, time.Date(2026, 3, 30, 12, 0, 0, 0, time.UTC))
	want := plan.Summary{
		Files:        217,
		Bytes:        9*10 + 1001 + 5*600 + 200,
		Unreadable:   1,
		Empty:        1,
		TooLarge:     1,
		Distinct:     212,
		Known:        map[string]int{"malware": 1, "benign": 1},
		KnownHere:    1,
		Pending:      1,
		Withheld:     2,
		NotAsked:     1,
		Unknown:      206,
		UnknownBytes: 10 + 5*600 + 200,
		Queries:      3,
		Days:         3, // the share of 2 a day takes 3 days, the rest 2
		DoneBy:       time.Date(2026, 4, 2, 0, 0, 0, 0, time.UTC),
		PerDay:       135,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, c := range v.ToUpload() {
		if c.File.SHA256 == "twofold" && c.File.Path != "b.txt" {
			t.Errorf("contents with two names are uploaded as %s", c.File.Path)
		}
	}
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))

	return hex.EncodeToString(sum[:])
}
