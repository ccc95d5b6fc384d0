package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const home = "forge.example.org/owner/backburn"

// The whole module moves to a home of its own, builds there, and strangers import what is public.
func TestModuleMoves(t *testing.T) {
	t.Parallel()
	tree := filepath.Join(t.TempDir(), "backburn")
	copyModule(t, filepath.Join("..", ".."), tree)
	if err := run(tree, home); err != nil {
		t.Fatal(err)
	}

	goTool(t, tree, "build", "./...")
	goTool(t, tree, "test", "./results")
	if deps := goTool(t, tree, "list", "-deps", "-test", "./..."); strings.Contains("\n"+deps, "\nbackburn/") {
		t.Error("packages of the old path are still imported")
	}
	if linter := read(t, filepath.Join(tree, ".golangci.yml")); !strings.Contains(linter, home+"/internal") {
		t.Error("the linter's rules name the old path")
	}

	stranger := t.TempDir()
	write(t, filepath.Join(stranger, "main.go"), strings.ReplaceAll(program, "HOME", home))
	write(t, filepath.Join(stranger, "go.mod"), "module stranger\n\ngo 1.26.0\n\nrequire "+home+" v0.2.0\n\nreplace "+home+" => "+tree+"\n")
	goTool(t, stranger, "mod", "tidy")
	if out := goTool(t, stranger, "run", "."); out != "malware too_large backburn/mail urgent\n" {
		t.Errorf("a stranger's program wrote %q", out)
	}
}

// program is what a gateway, a consumer and a client of WildFire import.
const program = `package main

import (
	"context"
	"fmt"

	"HOME/auth"
	"HOME/pipeline"
	"HOME/pipeline/queue"
	"HOME/results"
	"HOME/wildfire"
)

var (
	_ func(wildfire.Config, wildfire.TokenSource) (*wildfire.Client, error) = wildfire.New
	_ func(auth.Profile, ...auth.Option) (*auth.Source, error)         = auth.New
	_ func(*queue.Publisher, context.Context, pipeline.Job, queue.Input) (queue.Receipt, error) = (*queue.Publisher).Submit
)

func main() {
	fmt.Println(wildfire.Malware, results.TooLarge, "backburn/"+"mail", pipeline.Urgent)
}
`

func TestPathsThatCannotBeFetched(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"", "backburn", "Host/owner", "https://host.example/backburn", "host.example/own er"} {
		if err := run(t.TempDir(), to); err == nil {
			t.Errorf("%q was taken", to)
		}
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "auth"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := newRewriter(root, "backburn", home)
	for name, tc := range map[string]struct{ text, want string }{
		"an import":     {`import "backburn/auth"`, `import "` + home + `/auth"`},
		"a pattern":     {`"backburn/auth/..."`, `"` + home + `/auth/..."`},
		"everything":    {`"backburn/..."`, `"` + home + `/..."`},
		"a format":      {`"backburn/auth/v1"`, `"backburn/auth/v1"`},
		"a source":      {`"backburn/mail"`, `"backburn/mail"`},
		"a user agent":  {`"backburn/1"`, `"backburn/1"`},
		"a file's name": {`"/etc/backburn/auth"`, `"/etc/backburn/auth"`},
	} {
		if got := r.replace(r.quoted, tc.text); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
	if got := r.replace(r.bare, "module backburn\n\nreplace backburn => ../..\n"); got != "module "+home+"\n\nreplace "+home+" => ../..\n" {
		t.Errorf("module file: %s", got)
	}
}

func copyModule(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && slices.Contains(foreign, d.Name()):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}

		return os.WriteFile(filepath.Join(to, rel), text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// goTool runs the go command, and returns what it wrote to standard output.
func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=") // the race detector would have everything compiled once more
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}

	return string(out)
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
