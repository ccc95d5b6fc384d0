package config_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"backburn/internal/testkit/needs"
)

// makeReadOnly makes a folder such that it cannot be written to until the test ends. Root may write
// to any folder but one of a file system that is mounted read-only.
func makeReadOnly(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() == 0 {
		needs.Mount(t, "tmpfs", dir, "tmpfs", unix.MS_RDONLY, "")
		return
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
}
