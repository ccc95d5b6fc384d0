//go:build unix

package auth_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backburn/auth"
	"backburn/auth/cortex"
)

// TestGrantFileInAWorldWritableFolderIsRefused covers folders that another user could replace with
// a link, so that this process would write to a place of that user's choice.
func TestGrantFileInAWorldWritableFolderIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		make func(t *testing.T, open, elsewhere string) string // returns the folder of the grant
	}{
		{"the folder exists", func(t *testing.T, open, _ string) string {
			return folder(t, filepath.Join(open, "state"), 0o700)
		}},
		{"the folder does not exist yet", func(_ *testing.T, open, _ string) string {
			return filepath.Join(open, "a", "b")
		}},
		{"the folder was replaced by a link", func(t *testing.T, open, elsewhere string) string {
			path := filepath.Join(open, "state")
			if err := os.Symlink(elsewhere, path); err != nil {
				t.Fatal(err)
			}

			return path
		}},
		{"a parent folder was replaced by a link", func(t *testing.T, open, elsewhere string) string {
			path := filepath.Join(open, "var")
			if err := os.Symlink(elsewhere, path); err != nil {
				t.Fatal(err)
			}

			return folder(t, filepath.Join(path, "state"), 0o700)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			open := folder(t, filepath.Join(root, "open"), 0o777)
			elsewhere := folder(t, filepath.Join(root, "elsewhere"), 0o755)
			srv := cortexServer(t, nil)
			p := cortexProfile(t, srv)
			p.GrantFile = filepath.Join(tt.make(t, open, elsewhere), "grant")

			l, err := auth.NewLogin(p, cortex.HubParams{})
			if err != nil {
				t.Fatal(err)
			}

			_, err = l.Complete(t.Context(), browse(t, l.Begin()))

			if err == nil || !strings.Contains(err.Error(), "world-writable") {
				t.Errorf("got %v, want an error that names the folder", err)
			}

			_ = filepath.WalkDir(root, func(path string, d os.DirEntry, _ error) error {
				if !d.IsDir() && d.Type()&os.ModeSymlink == 0 {
					t.Errorf("%s was written", path)
				}

				return nil
			})
		})
	}
}

// TestSecretFileInAWorldWritableFolderIsRefused checks that a file which another user may have put
// there is not read.
func TestSecretFileInAWorldWritableFolderIsRefused(t *testing.T) {
	t.Parallel()
	open := folder(t, filepath.Join(t.TempDir(), "open"), 0o777)
	dir := folder(t, filepath.Join(open, "secrets"), 0o700)
	path := filepath.Join(dir, "secret")
	overwrite(t, path, "canary-secret-0b7e")

	if _, err := auth.ReadSecretFile(path); err == nil || !strings.Contains(err.Error(), open+" is a world-writable folder") {
		t.Errorf("got %v, want an error that names the folder", err)
	}
	if err := auth.CheckSecretFile(path); err == nil {
		t.Error("CheckSecretFile accepts it")
	}
}

func folder(t *testing.T, path string, mode os.FileMode) string {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}

	return path
}
