//go:build unix

package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"backburn/internal/cli"
	"backburn/internal/plan"
	"backburn/internal/testkit"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire"
)

// planFileCount is how many files are planned: 10,000, or BACKBURN_PLAN_FILES.
func planFileCount(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("BACKBURN_PLAN_FILES"), "10000"))
	if err != nil || n < 10_000 {
		t.Fatalf("BACKBURN_PLAN_FILES: expected 10000 or more, got %q", os.Getenv("BACKBURN_PLAN_FILES"))
	}

	return n
}

// The fleet knows half of 10,000 files. The rest takes ten queries, even if the command is killed
// while it hashes. With the policy "lookup" nothing is uploaded, even with --submit.
func TestPlanOfManyFiles(t *testing.T) {
	t.Parallel()
	files := planFileCount(t)
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"wildfire.queries_per_day": 1050})
	text, err := os.ReadFile(s.Path("backburn.toml"))
	if err != nil {
		t.Fatal(err)
	}

	s.WriteFile("backburn.toml", string(text)+"[[policy]]\nsubmit = \"lookup\"\n")
	p := s.Start("backburn", "run")
	s.WriteFile("plan.toml", replaced(t, s.Path("backburn.toml"), `nats.url = "nats://127.0.0.1:0"`, `nats.url = "`+p.NATS()+`"`))

	if err := os.Mkdir(s.Path("tree"), 0o700); err != nil {
		t.Fatal(err)
	}

	q, err := queue.Attach(t.Context(), s.Queue(p).Conn(), "", "backburn")
	if err != nil {
		t.Fatal(err)
	}

	var known []*queue.Change
	for i := range files {
		body := fmt.Sprint("file ", i)
		s.WriteFile(fmt.Sprintf("tree/%d", i), body)
		if i%2 == 0 {
			continue
		}

		sum := sha256.Sum256([]byte(body))
		known = append(known, q.Ledger().SampleUpdate(queue.SampleEntry{Key: hex.EncodeToString(sum[:]), Sample: pipeline.Sample{
			State:     pipeline.StateVerdict,
			Verdict:   int(wildfire.Benign),
			CheckedAt: time.Now(),
		}}))
	}

	for len(known) > 0 {
		n := min(500, len(known))
		if err := q.Ledger().Commit(t.Context(), known[:n]...); err != nil {
			t.Fatal(err)
		}

		known = known[n:]
	}

	args := []string{"plan", "--config", "plan.toml", "--state", "state.jsonl", "--json", "--submit", "bulk", "tree"}
	before := 0
	for try := 0; before < 100 || before >= files; try++ {
		if try == 10 {
			t.Fatal("the command cannot be killed while it hashes")
		}

		_ = os.Remove(s.Path("state.jsonl"))
		first := s.Start("backburn", args...)
		for before = 0; before < 100 && !first.Ended(); {
			before = countHashed(t, s)
		}

		first.Kill()
		before = countHashed(t, s)
	}

	second := s.Start("backburn", args...)
	if code := second.Wait(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, second.Stderr())
	}

	var got plan.Summary
	if err := json.Unmarshal([]byte(second.Stdout()), &got); err != nil {
		t.Fatalf("%v:\n%s", err, second.Stdout())
	}
	if got.Files != files || got.Distinct != files || got.Known["benign"] != files/2 || got.KnownHere != files/2 || got.Withheld != files/2 || got.Unknown != 0 {
		t.Errorf("%+v", got)
	}
	if n := s.WildFire.Count(wildfire.OpVerdicts); n > files/2/wildfire.MaxHashes+1 || n != got.Queries {
		t.Errorf("%d queries, and the summary says %d; want at most %d", n, got.Queries, files/2/wildfire.MaxHashes+1)
	}
	if n := s.WildFire.Count(wildfire.OpSubmitFile); n != 0 {
		t.Errorf("%d uploads", n)
	}
	if n := countHashed(t, s); n != files {
		t.Errorf("%d files were hashed in two runs, want %d: %d of them before the kill", n, files, before)
	}

	p.Stop()
}

// countHashed counts the complete files in the state file.
func countHashed(t *testing.T, s *testkit.Site) int {
	t.Helper()
	b, err := os.ReadFile(s.Path("state.jsonl"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(b) {
		if bytes.HasPrefix(line, []byte(`{"f":`)) && bytes.HasSuffix(line, []byte("}\n")) {
			n++
		}
	}

	return n
}

func replaced(t *testing.T, name, before, after string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(before)) {
		t.Fatalf("%s does not contain %s", name, before)
	}

	return string(bytes.ReplaceAll(b, []byte(before), []byte(after)))
}

// The files that are not counted as contents have a fixed order.
func TestPlanPrintsSkippedFilesInOrder(t *testing.T) {
	t.Parallel()
	order := regexp.MustCompile(`(?s)files .*unreadable .*empty .*too large .*distinct contents `)
	for range 20 {
		var out bytes.Buffer
		printPlan(&cli.App{Std: cli.Std{Out: &out}}, planReport{Summary: plan.Summary{Files: 6, Unreadable: 1, Empty: 2, TooLarge: 3}})
		if !order.MatchString(out.String()) {
			t.Fatalf("got %s", out.String())
		}
	}
}
