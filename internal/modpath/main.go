// Command modpath gives the module another path, in the work tree that it runs in:
//
//	go run ./internal/modpath host/owner/backburn
//
// The path "backburn" builds anywhere, and cannot be fetched: whoever hosts the module names its
// home once. Import paths, module files and the linter's configuration change; nothing that a
// running process says does, such as the sources of events.
package main

import (
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/modpath host/owner/backburn")
		os.Exit(2)
	}
	if err := run(".", os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "modpath:", err)
		os.Exit(3)
	}
}

// run changes the module at root to a path that the go command can fetch.
func run(root, to string) error {
	if err := module.CheckPath(to); err != nil {
		return fmt.Errorf("not a path that can be fetched: %w", err)
	}
	from, err := currentPath(root)
	if err != nil {
		return err
	}

	r := newRewriter(root, from, to)
	files, err := textFiles(root)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := r.rewrite(file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}

	return nil
}

// currentPath is the path of the module at root.
func currentPath(root string) (string, error) {
	cmd := exec.Command("go", "list", "-m") //nolint:noctx // it ends by itself
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go list -m: %w", err)
	}

	return strings.TrimSpace(string(out)), nil
}

// Folders that hold nothing of the module's source.
var foreign = []string{".git", ".stage", "bin", "dist", "node_modules"}

// textFiles lists the files of the module, and of the modules below it, that name packages.
func textFiles(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(foreign, d.Name()):
			return filepath.SkipDir
		case d.Type().IsRegular() && (d.Name() == "go.mod" || d.Name() == ".golangci.yml" ||
			slices.Contains([]string{".go", ".md", ".txtar"}, path.Ext(d.Name()))):
			files = append(files, name)
		}

		return nil
	})

	return files, err
}

// rewriter replaces the path of the module where it stands for the module.
type rewriter struct {
	root, to string
	quoted   *regexp.Regexp // a package in quotes, as an import has it
	bare     *regexp.Regexp // a module or package as a word, as module files and the linter have it
}

func newRewriter(root, from, to string) rewriter {
	name := regexp.QuoteMeta(from)

	return rewriter{
		root:   root,
		to:     to,
		quoted: regexp.MustCompile("([\"`])" + name + "(/[^\"`\\s]+)([\"`])"),
		bare:   regexp.MustCompile(`(^|\s)` + name + `(/[^\s:]+)?(\s|$)`),
	}
}

// rewrite changes one file, if there is something to change.
func (r rewriter) rewrite(file string) error {
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}

	after := string(before)
	switch filepath.Base(file) {
	case "go.mod", ".golangci.yml":
		after = r.replace(r.bare, after)
	default:
		after = r.replace(r.quoted, after)
	}
	if after == string(before) {
		return nil
	}
	if path.Ext(file) == ".go" {
		sorted, err := format.Source([]byte(after))
		if err != nil {
			return err
		}
		after = string(sorted)
	}

	info, err := os.Stat(file)
	if err != nil {
		return err
	}

	return os.WriteFile(file, []byte(after), info.Mode().Perm()) //nolint:gosec // a file below the tree
}

func (r rewriter) replace(pattern *regexp.Regexp, text string) string {
	return pattern.ReplaceAllStringFunc(text, func(match string) string {
		m := pattern.FindStringSubmatch(match)
		if !r.isFolder(m[2]) {
			return match
		}

		return m[1] + r.to + m[2] + m[3]
	})
}

// isFolder reports whether what follows the module's path is a folder of it, or a pattern of
// folders. Words such as the name of a format are none.
func (r rewriter) isFolder(below string) bool {
	folder := strings.TrimSuffix(below, "/...")
	info, err := os.Stat(filepath.Join(r.root, filepath.FromSlash(folder)))

	return !errors.Is(err, fs.ErrNotExist) && err == nil && info.IsDir()
}
