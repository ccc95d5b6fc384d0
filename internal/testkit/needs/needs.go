// Package needs declares what a test requires of its machine: privileges, other programs, packages
// from the network. Without them the test is skipped with a message; in CI (CI=true) it fails.
package needs

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Root skips a test that only root can run.
func Root(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		CannotRun(t, "%s needs root", what)
	}
}

// Programs requires foreign programs, which come in packages. If one is missing, the test cannot
// run.
func Programs(t testing.TB, packages string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			CannotRun(t, "%s is not in PATH (Debian: apt-get install %s)", name, packages)
		}
	}
}

// CannotRun skips a test that cannot run here, for a reason.
func CannotRun(t testing.TB, format string, args ...any) {
	t.Helper()
	why := "SKIPPED: " + fmt.Sprintf(format, args...)
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
