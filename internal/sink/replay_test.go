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

// collect collects the results of a replay, as "job" or "job: error".
func collect(list *[]string) func(sink.Replayed) error {
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
	h := newWebhookReceiver(t, map[string][]int{"one": {422}, "two": {400}, "three": {413}})
	cfg := shortDelays(t)
	r := start(t, js, cfg, h.target())
	publish(t, js, "one", "two", "three", "four")
	waitFor(t, "the last event is accepted", func() bool { return h.acceptedJobs() == "four" })

	// A dry run changes nothing, also while the sink runs.
	var results []string
	replay := sink.Replay{Config: cfg, DryRun: true, Each: collect(&results)}
	if err := replay.DeliverDeadLetters(t.Context(), time.Time{}); err != nil || !slices.Equal(results, []string{"one", "two", "three"}) {
		t.Errorf("%q %v", results, err)
	}
	results = nil
	if err := replay.DeliverDeadLetters(t.Context(), time.Now().Add(time.Hour)); err != nil || len(results) > 0 {
		t.Errorf("%q %v", results, err)
	}
	if len(deadLetters(t, cfg.DeadFile)) != 3 {
		t.Errorf("%q", deadLetters(t, cfg.DeadFile))
	}

	// Accepted letters are removed; letters that are rejected again stay.
	results = nil
	target := h.target()
	defer target.Close()
	replay = sink.Replay{Config: cfg, Target: target, Each: collect(&results)}
	h.mu.Lock()
	h.answers = map[string][]int{"two": {400}}
	h.mu.Unlock()
	if err := replay.DeliverDeadLetters(t.Context(), time.Time{}); err != nil || !slices.Equal(results, []string{"one", "two: the webhook answers 400", "three"}) {
		t.Errorf("%q %v", results, err)
	}
	if got := deadLetters(t, cfg.DeadFile); !slices.Equal(got, []string{"two: 1 the webhook answers 400"}) || h.acceptedJobs() != "four one three" {
		t.Errorf("%q, accepted %q", got, h.acceptedJobs())
	}

	// A misconfigured receiver ends the replay, and so does a canceled context. Nothing is lost.
	h.answerAll(401)
	err := replay.DeliverDeadLetters(t.Context(), time.Time{})
	if f, ok := errors.AsType[*sink.Fault](err); !ok || f.Kind != sink.Misconfigured {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := replay.DeliverDeadLetters(ctx, time.Time{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := deadLetters(t, cfg.DeadFile); len(got) != 1 {
		t.Errorf("%q", got)
	}

	// A replay that was killed left its letters in another file; newer ones come after them.
	if err := os.Rename(cfg.DeadFile, cfg.DeadFile+".replay"); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.always, h.answers = 0, map[string][]int{"five": {422}}
	h.mu.Unlock()
	publish(t, js, "five")
	waitFor(t, "the sink wrote a dead letter", func() bool { return len(deadLetters(t, cfg.DeadFile)) == 1 })
	r.stop()
	results = nil
	h.mu.Lock()
	h.answers = nil
	h.mu.Unlock()
	if err := replay.DeliverDeadLetters(t.Context(), time.Time{}); err != nil || !slices.Equal(results, []string{"two", "five"}) || len(deadLetters(t, cfg.DeadFile)) > 0 {
		t.Errorf("%q %v %q", results, err, deadLetters(t, cfg.DeadFile))
	}
	if _, err := os.Stat(cfg.DeadFile + ".replay"); !os.IsNotExist(err) {
		t.Errorf("the other file still exists: %v", err)
	}

	cfg.DeadFile = ""
	if err := (sink.Replay{Config: cfg, Target: target, Each: collect(&results)}).DeliverDeadLetters(t.Context(), time.Time{}); !errors.Is(err, sink.ErrNoDeadFile) {
		t.Errorf("got %v", err)
	}
}

// An accepted letter is removed even if its result cannot be reported.
func TestReplayThatCannotReport(t *testing.T) {
	t.Parallel()
	js := stream(t)
	h := newWebhookReceiver(t, map[string][]int{"one": {422}, "two": {422}})
	cfg := shortDelays(t)
	r := start(t, js, cfg, h.target())
	publish(t, js, "one", "two", "three")
	waitFor(t, "the last event is accepted", func() bool { return h.acceptedJobs() == "three" })
	r.stop()
	target := h.target()
	defer target.Close()
	h.mu.Lock()
	h.answers = nil
	h.mu.Unlock()
	errFull := errors.New("no space left")
	replay := sink.Replay{Config: cfg, Target: target, Each: func(sink.Replayed) error { return errFull }}
	if err := replay.DeliverDeadLetters(t.Context(), time.Time{}); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
	if got := deadLetters(t, cfg.DeadFile); h.acceptedJobs() != "three one" || len(got) != 1 || !strings.HasPrefix(got[0], "two: ") {
		t.Errorf("accepted %q, dead letters %q", h.acceptedJobs(), got)
	}
}

func TestReplayFromTheStream(t *testing.T) {
	t.Parallel()
	js := stream(t)
	h := newWebhookReceiver(t, map[string][]int{"two": {422}})
	cfg := shortDelays(t)
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
		accepted     string
	}{
		{"dry", time.Time{}, time.Now().Add(time.Hour), true, []string{"one", "two", "three"}, ""},
		{"all", time.Time{}, time.Now().Add(time.Hour), false, []string{"one", "two: the webhook answers 422", "three"}, "one three"},
		{"before", time.Time{}, until, false, []string{"one", "two: the webhook answers 422"}, "one three one"},
		{"after", until, time.Now().Add(time.Hour), false, []string{"three"}, "one three one three"},
		{"none", time.Now().Add(time.Minute), time.Now().Add(time.Hour), false, nil, "one three one three"},
	} {
		var results []string
		r := sink.Replay{Config: cfg, Target: target, DryRun: tc.dry, Each: collect(&results)}
		if err := r.DeliverStream(t.Context(), js, tc.since, tc.until); err != nil || !slices.Equal(results, tc.want) || h.acceptedJobs() != tc.accepted {
			t.Errorf("%s: %q, accepted %q, %v", tc.name, results, h.acceptedJobs(), err)
		}
	}
	h.answerAll(503)
	err := (sink.Replay{Config: cfg, Target: target, Each: func(sink.Replayed) error { return nil }}).DeliverStream(t.Context(), js, time.Time{}, time.Now().Add(time.Hour))
	if f, ok := errors.AsType[*sink.Fault](err); !ok || f.Kind != sink.Unavailable {
		t.Errorf("got %v", err)
	}
}

// A message that is not an event, as another program may publish, does not end a replay.
func TestReplaySkipsWhatIsNotAnEvent(t *testing.T) {
	t.Parallel()
	js := stream(t)
	h := newWebhookReceiver(t, nil)
	if _, err := js.Publish(t.Context(), event("x").Subject("backburn"), []byte("not an event")); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "one")
	target := h.target()
	defer target.Close()
	var all []string
	r := sink.Replay{Config: shortDelays(t), Target: target, Each: collect(&all)}
	err := r.DeliverStream(t.Context(), js, time.Time{}, time.Now().Add(time.Hour))
	if err != nil || len(all) != 2 || !strings.HasPrefix(all[0], ": event: ") || all[1] != "one" || h.acceptedJobs() != "one" {
		t.Errorf("%q, accepted %q, %v", all, h.acceptedJobs(), err)
	}
}
