//go:build unix

package plan_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"backburn/internal/plan"
)

// A pipe is refused; opening it would wait for its writer.
func TestPipeIsNotHashed(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	state, err := plan.OpenState(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()

	var failed error
	h := &plan.Hasher{
		State:  state,
		Done:   func(plan.File, bool) { t.Error("it was hashed") },
		Failed: func(_ string, err error) { failed = err },
	}
	if err := h.Run(t.Context(), func(visit func(string) error) error { return visit(pipe) }); err != nil {
		t.Error(err)
	}
	if !errors.Is(failed, plan.ErrNotRegular) {
		t.Errorf("got %v", failed)
	}
}
