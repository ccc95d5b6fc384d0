package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BuildPrograms builds backburn, watcher and worker with flags of `go build`, and puts them into
// the PATH until the process ends. The program "nats" there is this process's own: its main calls
// NATS if it has that name.
func BuildPrograms(t testing.TB, flags ...string) {
	t.Helper()
	dir := t.TempDir()
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	args = append(args, "backburn/cmd/backburn", "backburn/cmd/watcher", "backburn/cmd/worker")

	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("build the programs: %v", err)
	}

	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "nats"))
	}
	if err == nil {
		err = os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	}
	noError(t, err)
}
