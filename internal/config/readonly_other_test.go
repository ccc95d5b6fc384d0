//go:build !linux

package config_test

import (
	"os"
	"testing"

	"backburn/internal/testkit/needs"
)

// makeReadOnly takes the permission to write to a folder away.
func makeReadOnly(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() == 0 {
		needs.CannotRun(t, "root may do everything here")
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
}
