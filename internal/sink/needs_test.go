package sink_test

import (
	"os"
	"os/exec"
	"testing"
)

// needs skips a test, loudly, where a program is missing; not where everything has to be there.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not here", p)
			}
			t.Skipf("SKIPPED: %s is not here", p)
		}
	}
}
