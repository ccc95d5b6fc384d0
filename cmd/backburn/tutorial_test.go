package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
)

var tutorialBlock = regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```$")

// The tutorial's commands, run in one shell, print the output that it shows.
func TestTutorial(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "bash coreutils", "bash", "sha256sum")
	text, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}

	// The tutorial uses the default addresses, which other tests may be using.
	dir := t.TempDir()
	cfg := fmt.Sprintf("nats.url = %q\nhttp.listen = %q\n", "nats://127.0.0.1:"+testkit.FreePort(t), "127.0.0.1:"+testkit.FreePort(t))
	if err := os.WriteFile(filepath.Join(dir, "backburn.toml"), []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}

	var script strings.Builder
	script.WriteString("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n")
	var shown [][]string // by command block
	for _, m := range tutorialBlock.FindAllStringSubmatch(string(text), -1) {
		if m[1] == "sh" {
			fmt.Fprintf(&script, "echo '@@@ %d'\n%s", len(shown), m[2])
			shown = append(shown, nil)
			continue
		}

		last := len(shown) - 1
		shown[last] = append(shown[last], strings.Split(strings.TrimSpace(m[2]), "\n")...)
	}

	if len(shown) < 6 {
		t.Fatalf("%d blocks of commands", len(shown))
	}

	ctx, cancel := context.WithTimeout(t.Context(), 3*testkit.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	cmd.Dir = dir
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "backburn.log"))
		t.Fatalf("%v\n%s%s\n%s", err, out.String(), stderr.String(), log)
	}

	parts := regexp.MustCompile(`(?m)^@@@ \d+$`).Split(out.String(), -1)[1:]
	for i, lines := range shown {
		for _, line := range lines {
			var words []string
			for _, w := range strings.Fields(line) {
				words = append(words, strings.ReplaceAll(regexp.QuoteMeta(w), "…", ".*"))
			}
			if want := regexp.MustCompile(strings.Join(words, `\s+`)); !want.MatchString(parts[i]) {
				t.Errorf("block %d shows no %q:\n%s", i, line, parts[i])
			}
		}
	}
}
