package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Automatic updates cover every Go module of the repository.
func TestEveryModuleIsKeptCurrent(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.github/dependabot.yml")
	if err != nil {
		t.Fatal(err)
	}

	modules := 0
	err = filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git" || d.Name() == "dist"):
			return filepath.SkipDir
		case d.Name() != "go.mod":
			return nil
		}

		modules++
		dir := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(name)), "../..")
		if dir == "" {
			dir = "/"
		}
		if !strings.Contains(string(text), `"`+dir+`"`) {
			t.Errorf("dependabot.yml does not name the module in %s", dir)
		}

		return nil
	})
	if err != nil || modules < 5 {
		t.Errorf("%d modules: %v", modules, err)
	}
}

// The newest section of the changelog and the chart have the same version.
func TestOneVersion(t *testing.T) {
	t.Parallel()
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}

	chart, err := os.ReadFile("../../deploy/helm/backburn/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}

	newest := regexp.MustCompile(`(?m)^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$`).FindSubmatch(changelog)
	if newest == nil {
		t.Fatal("the changelog has no section of a version with a date")
	}

	for _, want := range []string{"\nversion: " + string(newest[1]) + "\n", "\nappVersion: \"" + string(newest[1]) + "\"\n"} {
		if !strings.Contains(string(chart), want) {
			t.Errorf("Chart.yaml has no line %q", strings.TrimSpace(want))
		}
	}
}
