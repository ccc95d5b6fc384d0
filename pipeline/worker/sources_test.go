package worker

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"backburn/internal/health"
)

// A source without further jobs cannot show that it can be reached again, so its fault ends by
// itself. While jobs wait, each attempt renews the fault. A later one begins anew, and is logged.
func TestFaultOfASourceEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := health.New(zerolog.Nop())
		s := newSources(registry)
		state := func() health.State { return registry.Parts()[0].State }
		for range 5 {
			s.recordUnreachable("mail", errors.New("not mounted"))
			time.Sleep(longestSourcePause)
		}
		if got := state(); got != health.Failed {
			t.Errorf("%s while jobs wait", got)
		}

		time.Sleep(sourceFaultExpiry)
		if got := state(); got != health.OK {
			t.Errorf("%s without jobs", got)
		}
		for i, want := range []bool{false, true} { // the fault of the whole source begins anew
			if first := s.recordUnreachable("mail", errors.New("not mounted")); first != want {
				t.Errorf("file %d after that: first is %t", i+1, first)
			}
		}
	})
}
