package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"backburn/internal/config"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	dropped = regexp.MustCompile("[^a-z0-9 _-]")
)

// anchors returns the anchors of a page's headings.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		found[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}

	return found
}

// Every link within the repository has a target, and the index lists every page.
func TestLinks(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}

	index := read(t, filepath.Join(root, "docs", "README.md"))
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md does not name %s", name)
		}
	}

	decisions, err := filepath.Glob(filepath.Join(root, "docs", "adr", "*.md"))
	if err != nil || len(decisions) < 6 {
		t.Fatalf("%d decisions, %v", len(decisions), err)
	}

	list := read(t, filepath.Join(root, "docs", "adr", "README.md"))
	for _, page := range decisions {
		if name := filepath.Base(page); name != "README.md" {
			if !strings.Contains(list, "]("+name+")") {
				t.Errorf("docs/adr/README.md does not name %s", name)
			}

			for _, part := range []string{"## Context", "## Decision", "## Consequences"} {
				if !strings.Contains(read(t, page), "\n"+part+"\n") {
					t.Errorf("%s has no part %q", page, part)
				}
			}
		}
	}

	pages = append(pages, decisions...)

	for _, name := range []string{"README.md", "CONTRIBUTING.md", "RELEASE.md", "SECURITY.md", "deploy/helm/backburn/README.md"} {
		pages = append(pages, filepath.Join(root, filepath.FromSlash(name)))
	}

	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") { // another site
				continue
			}

			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), filepath.FromSlash(target))
			}

			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, m[1])
				continue
			}

			if anchor != "" && strings.HasSuffix(file, ".md") && !anchors(read(t, file))[anchor] {
				t.Errorf("%s: the link %s leads to no heading", page, m[1])
			}
		}
	}
}

// The README fits one screen: what it is, how to try it, and where to read on.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	page := read(t, filepath.Join("..", "..", "README.md"))
	if n := strings.Count(page, "\n"); n > 50 {
		t.Errorf("README.md has %d lines: move details to docs", n)
	}
	for _, command := range []string{"go run ./cmd/backburn demo", "go run ./cmd/backburn run --simulate", "go test ./..."} {
		if !strings.Contains(page, command) {
			t.Errorf("README.md does not show %q", command)
		}
	}
}

var tomlBlock = regexp.MustCompile("(?ms)^```toml\n(.*?)^```$")

// Every configuration example in the documents has valid keys and values.
func TestExamplesOfConfiguration(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}

	blocks := 0
	for _, page := range pages {
		for i, m := range tomlBlock.FindAllStringSubmatch(read(t, page), -1) {
			blocks++
			file := filepath.Join(t.TempDir(), "backburn.toml")
			if err := os.WriteFile(file, []byte(m[1]), 0o600); err != nil {
				t.Fatal(err)
			}

			cfg, err := config.Read(file, nil)
			if err == nil {
				err = cfg.Validate(0)
			}
			if err != nil {
				t.Errorf("%s, example %d: %v", page, i+1, err)
			}
		}
	}

	if blocks < 10 {
		t.Errorf("only %d examples", blocks)
	}
}

// The shipped configurations are valid.
func TestShippedConfigurations(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	for name, process := range map[string]string{
		"packaging/backburn.toml":        "run",
		"packaging/watcher.example.toml": "watcher",
		"deploy/compose/backburn.toml":   "worker",
	} {
		cfg, err := config.Read(filepath.Join(root, filepath.FromSlash(name)), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := cfg.Validate(0); err != nil {
			t.Errorf("%s, for %s: %v", name, process, err)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}
