package worker

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"backburn/internal/health"
	"backburn/pipeline"
	"backburn/pipeline/poller"
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

// Contents in a job's message say nothing about the source's folder.
func TestContentsInAMessageEndNoFault(t *testing.T) {
	t.Parallel()
	shared := &shared{Deps: poller.Deps{Settings: pipeline.NewSettings(pipeline.DefaultConfig())}}
	e := &examiner{shared: shared, sources: newSources(health.New(zerolog.Nop()))}
	e.sources.recordUnreachable("mail", errors.New("not mounted"))

	d := &delivery{}
	d.Job.Source = "mail"
	d.Raw = true
	d.Contents = []byte("MZ")
	d.Job.SetVerified("", int64(len(d.Contents)))
	if err := e.examine(t.Context(), t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if first := e.sources.recordUnreachable("mail", errors.New("not mounted")); !first {
		t.Error("the second unreachable file in a row is not the fault of the source")
	}
}
