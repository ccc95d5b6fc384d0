package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Each alert links to its section in docs/troubleshoot.md, and each of these sections has an alert.
func TestEveryAlertHasARunbook(t *testing.T) {
	t.Parallel()
	docs := filepath.Join("..", "..", "docs")
	text, err := os.ReadFile(filepath.Join(docs, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}

	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}

	page, err := os.ReadFile(filepath.Join(docs, "troubleshoot.md"))
	if err != nil {
		t.Fatal(err)
	}

	sections := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (Backburn\w+)$`).FindAllStringSubmatch(string(page), -1) {
		sections[strings.ToLower(m[1])] = true
	}

	for _, g := range file.Groups {
		for _, r := range g.Rules {
			want := "docs/troubleshoot.md#" + strings.ToLower(r.Alert)
			if got := r.Annotations["runbook_url"]; got != want {
				t.Errorf("%s: runbook_url is %q, want %q", r.Alert, got, want)
			}
			if !sections[strings.ToLower(r.Alert)] {
				t.Errorf("docs/troubleshoot.md has no section %s", r.Alert)
			}

			delete(sections, strings.ToLower(r.Alert))
		}
	}

	for name := range sections {
		t.Errorf("docs/troubleshoot.md has a section %s, but no alert links to it", name)
	}

	for _, m := range regexp.MustCompile(`\]\(#([a-z-]+)\)`).FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(strings.ReplaceAll(strings.ToLower(string(page)), " ", "-"), "#-"+m[1]+"\n") {
			t.Errorf("docs/troubleshoot.md links to #%s, but has no such section", m[1])
		}
	}
}
