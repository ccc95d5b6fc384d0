//go:build unix

package auth_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"backburn/auth"
)

// TestSecretFileThatIsAPipeIsRefused is refused at once, though nobody writes to it.
func TestSecretFileThatIsAPipeIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.ReadSecretFile(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v, want that it is no regular file", err)
	}
}
