package docs_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"
)

// updates is what Dependabot is told.
type updates struct {
	Updates []struct {
		Ecosystem   string   `yaml:"package-ecosystem"`
		Directory   string   `yaml:"directory"`
		Directories []string `yaml:"directories"`
		Allow       []struct {
			Name string `yaml:"dependency-name"`
			Type string `yaml:"dependency-type"`
		} `yaml:"allow"`
	} `yaml:"updates"`
}

// readUpdates returns the folders that Dependabot looks at, by ecosystem, and the names of indirect
// requirements that it updates in a folder.
func readUpdates(t *testing.T) (folders map[string][]string, indirect map[string][]string) {
	t.Helper()
	text, err := os.ReadFile("../../.github/dependabot.yml")
	if err != nil {
		t.Fatal(err)
	}

	var all updates
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}

	folders = map[string][]string{}
	indirect = map[string][]string{}
	for _, u := range all.Updates {
		dirs := u.Directories
		if u.Directory != "" {
			dirs = append(dirs, u.Directory)
		}

		folders[u.Ecosystem] = append(folders[u.Ecosystem], dirs...)
		for _, dir := range dirs {
			for _, allowed := range u.Allow {
				if allowed.Type == "all" {
					indirect[dir] = append(indirect[dir], allowed.Name)
				}
			}
		}
	}

	return folders, indirect
}

// repositoryFiles calls visit with the path of every file of the repository, from its root.
func repositoryFiles(t *testing.T, visit func(file string)) {
	t.Helper()
	root := filepath.Join("..", "..")
	made := []string{".git", ".stage", "bin", "dist", "node_modules"}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(made, d.Name()):
			return filepath.SkipDir
		case d.Type().IsRegular():
			file, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}

			visit(filepath.ToSlash(file))
		}

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Automatic updates cover every file that names versions: modules, npm packages, charts, the images
// of compose files, and actions.
func TestEveryVersionIsKeptCurrent(t *testing.T) {
	t.Parallel()
	folders, indirect := readUpdates(t)
	ecosystems := map[string]string{
		"go.mod":       "gomod",
		"package.json": "npm",
		"Chart.yaml":   "helm",
		"compose.yaml": "docker-compose",
		"Dockerfile":   "docker",
	}
	found := map[string]int{}
	repositoryFiles(t, func(file string) {
		ecosystem, ok := ecosystems[path.Base(file)]
		if !ok {
			return
		}

		found[ecosystem]++
		dir := path.Join("/", path.Dir(file))
		if !slices.Contains(folders[ecosystem], dir) {
			t.Errorf("dependabot.yml names no update %q of %s", ecosystem, dir)
		}
		if ecosystem == "gomod" {
			checkTools(t, file, indirect[dir])
		}
	})

	if found["gomod"] < 15 || found["npm"] < 4 || found["helm"] != 1 || found["docker-compose"] != 1 {
		t.Errorf("files with versions: %v", found)
	}
	if !slices.Contains(folders["github-actions"], "/") {
		t.Error("dependabot.yml names no update of the actions")
	}

	for ecosystem, dirs := range folders {
		for _, dir := range dirs {
			if _, err := os.Stat(filepath.Join("..", "..", filepath.FromSlash(dir))); err != nil {
				t.Errorf("dependabot.yml names an update %q of %s: %v", ecosystem, dir, err)
			}
		}
	}
}

// checkTools checks that Dependabot updates the modules of tools: go.mod calls them indirect, and
// Dependabot leaves such modules alone if it is not told their names.
func checkTools(t *testing.T, file string, allowed []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}

	mod, err := modfile.Parse(file, text, nil)
	if err != nil {
		t.Fatal(err)
	}

	for _, tool := range mod.Tool {
		if !slices.ContainsFunc(allowed, func(module string) bool {
			return tool.Path == module || strings.HasPrefix(tool.Path, module+"/")
		}) {
			t.Errorf("%s: dependabot.yml does not allow updates of the tool %s", file, tool.Path)
		}
	}
}

// pinned matches a version behind the name of a package, as in the arguments of go and npm.
var pinned = regexp.MustCompile(`@(?:v?\d+\.\d+|v\d|latest)`)

// Scripts, recipes and tests take the versions of tools from go.mod and package.json, where
// automatic updates find them.
func TestVersionsAreInManifests(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"go install example.org/tool@v1.2.3":  true,
		"go run example.org/tool@latest":      true,
		"npm install tool@4.14.1":             true,
		"go tool -modfile=.ci/tools/x/go.mod": false,
		"client@1234567890.example.org":       false,
	} {
		if pinned.MatchString(text) != want {
			t.Fatalf("%q: a version: %v", text, !want)
		}
	}

	files := 0
	repositoryFiles(t, func(file string) {
		// Dependabot updates the workflows. Documents may cite a version.
		if strings.HasPrefix(file, ".github/workflows/") || file == "internal/docs/habits_test.go" ||
			slices.Contains([]string{".md", ".sum", ".json"}, path.Ext(file)) {
			return
		}

		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(text) {
			return
		}

		files++
		for i, line := range strings.Split(string(text), "\n") {
			if pinned.MatchString(line) {
				t.Errorf("%s:%d: %s: have the version in a go.mod or package.json", file, i+1, strings.TrimSpace(line))
			}
		}
	})

	if files < 200 {
		t.Errorf("%d files", files)
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
