package cortex

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth/internal/secret"
)

type logFunc func(line string)

func (f logFunc) Write(p []byte) (int, error) {
	f(string(p))

	return len(p), nil
}

// TestOldGrantWarning checks that an old grant is warned of once a day, and that Status does not
// wait for the log.
func TestOldGrantWarning(t *testing.T) {
	t.Parallel()
	var s *store
	lines := 0
	log := zerolog.New(logFunc(func(string) {
		lines++
		if !s.mu.TryLock() {
			t.Error("the warning is logged under the lock of Status")
			return
		}
		s.mu.Unlock()
	}))
	s, err := newStore(Config{
		Name:      "hub",
		GrantFile: t.TempDir() + "/grant",
		Secret:    new(secret.File),
		Log:       log,
	})
	if err != nil {
		t.Fatal(err)
	}

	obtained := time.Now().Add(-warnAge - time.Hour)
	for range 2 {
		s.remember(record{Generation: 1, Obtained: obtained.UnixMilli()})
	}
	if lines != 1 {
		t.Errorf("%d warnings, want 1", lines)
	}
	if got := s.Status().Obtained; got.UnixMilli() != obtained.UnixMilli() {
		t.Errorf("Status().Obtained = %s, want %s", got, obtained)
	}
}
