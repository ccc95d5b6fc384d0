package sink_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"backburn/internal/sink"
)

// told collects the results of a replay, as "job" or "job: error".
func told(list *[]string) func(sink.Replayed) error {
	return func(r sink.Replayed) error {
		s := strings.TrimSuffix(r.ID, ".verdict")
		if r.Error != "" {
			s += ": " + r.Error
		}
		*list = append(*list, s)
		return nil
	}
}

func TestReplayOfDeadLetters(t *testing.T) {
	t.Parallel()
	js := stream(t)
	h := newHook(t, map[string][]int{"one": {422}, "two": {400}, "three": {413}})
	cfg := quick(t)
	r := start(t, js, cfg, h.target())
	publish(t, js, "one", "two", "three", "four")
	until(t, "the last is taken", func() bool { return h.got() == "four" })

	// A dry run changes nothing, also while the sink runs.
	var said []string
	replay := sink.Replay{Config: cfg, DryRun: true, Each: told(&said)}
	if err := replay.Dead(t.Context(), time.Time{}); err != nil || !slices.Equal(said, []string{"one", "two", "three"}) {
		t.Errorf("%q %v", said, err)
	}
	said = nil
	if err := replay.Dead(t.Context(), time.Now().Add(time.Hour)); err != nil || len(said) > 0 {
		t.Errorf("%q %v", said, err)
	}
	if len(letters(t, cfg.DeadFile)) != 3 {
		t.Errorf("%q", letters(t, cfg.DeadFile))
	}

	// Accepted letters are removed; letters that are rejected again stay.
	said = nil
	target := h.target()
	defer target.Close()
	replay = sink.Replay{Config: cfg, Target: target, Each: told(&said)}
	h.mu.Lock()
	h.answers = map[string][]int{"two": {400}}
	h.mu.Unlock()
	if err := replay.Dead(t.Context(), time.Time{}); err != nil || !slices.Equal(said, []string{"one", "two: the webhook answers 400", "three"}) {
		t.Errorf("%q %v", said, err)
	}
	if got := letters(t, cfg.DeadFile); !slices.Equal(got, []string{"two: 1 the webhook answers 400"}) || h.got() != "four one three" {
		t.Errorf("%q, taken %q", got, h.got())
	}

	// A misconfigured receiver ends the replay, and so does a canceled context. Nothing is lost.
	h.answer(401)
	err := replay.Dead(t.Context(), time.Time{})
	if f, ok := errors.AsType[*sink.Fault](err); !ok || f.Kind != sink.Misconfigured {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := replay.Dead(ctx, time.Time{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := letters(t, cfg.DeadFile); len(got) != 1 {
		t.Errorf("%q", got)
	}

	// A replay that was killed left its letters in another file; newer ones come after them.
	if err := os.Rename(cfg.DeadFile, cfg.DeadFile+".replay"); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.all, h.answers = 0, map[string][]int{"five": {422}}
	h.mu.Unlock()
	publish(t, js, "five")
	until(t, "the sink wrote a dead letter", func() bool { return len(letters(t, cfg.DeadFile)) == 1 })
	r.stop()
	said = nil
	h.mu.Lock()
	h.answers = nil
	h.mu.Unlock()
	if err := replay.Dead(t.Context(), time.Time{}); err != nil || !slices.Equal(said, []string{"two", "five"}) || len(letters(t, cfg.DeadFile)) > 0 {
		t.Errorf("%q %v %q", said, err, letters(t, cfg.DeadFile))
	}
	if _, err := os.Stat(cfg.DeadFile + ".replay"); !os.IsNotExist(err) {
		t.Errorf("the other file still exists: %v", err)
	}

	cfg.DeadFile = ""
	if err := (sink.Replay{Config: cfg, Target: target, Each: told(&said)}).Dead(t.Context(), time.Time{}); !errors.Is(err, sink.ErrNoDeadFile) {
		t.Errorf("got %v", err)
	}
}

func TestReplayFromTheStream(t *testing.T) {
	t.Parallel()
	js := stream(t)
	h := newHook(t, map[string][]int{"two": {422}})
	cfg := quick(t)
	publish(t, js, "one", "two")
	until := time.Now()
	publish(t, js, "three")
	target := h.target()
	defer target.Close()
	for _, tc := range []struct {
		name         string
		since, until time.Time
		dry          bool
		want         []string
		taken        string
	}{
		{"dry", time.Time{}, time.Now().Add(time.Hour), true, []string{"one", "two", "three"}, ""},
		{"all", time.Time{}, time.Now().Add(time.Hour), false, []string{"one", "two: the webhook answers 422", "three"}, "one three"},
		{"before", time.Time{}, until, false, []string{"one", "two: the webhook answers 422"}, "one three one"},
		{"after", until, time.Now().Add(time.Hour), false, []string{"three"}, "one three one three"},
		{"none", time.Now().Add(time.Minute), time.Now().Add(time.Hour), false, nil, "one three one three"},
	} {
		var said []string
		r := sink.Replay{Config: cfg, Target: target, DryRun: tc.dry, Each: told(&said)}
		if err := r.Stream(t.Context(), js, tc.since, tc.until); err != nil || !slices.Equal(said, tc.want) || h.got() != tc.taken {
			t.Errorf("%s: %q, taken %q, %v", tc.name, said, h.got(), err)
		}
	}
	h.answer(503)
	err := (sink.Replay{Config: cfg, Target: target, Each: func(sink.Replayed) error { return nil }}).Stream(t.Context(), js, time.Time{}, time.Now().Add(time.Hour))
	if f, ok := errors.AsType[*sink.Fault](err); !ok || f.Kind != sink.Unavailable {
		t.Errorf("got %v", err)
	}
}
