package readable_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A file of the repository, with its path from the root, in slashes.
type file struct {
	path string
	text []byte
}

// files reads the files of the repository whose names end in one of the suffixes.
func files(t *testing.T, suffixes ...string) []file {
	t.Helper()
	root := filepath.Join("..", "..")
	var found []file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "node_modules", "bin", "dist", "data"}, d.Name()) {
				return filepath.SkipDir
			}

			return nil
		}
		if !slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		found = append(found, file{path: filepath.ToSlash(rel), text: text})

		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("no file ends in any of %q", suffixes)
	}

	return found
}
