package config_test

import (
	"slices"
	"strings"
	"testing"

	"backburn/internal/config"
)

// What differs between two files is named, with whether a running process takes it up, and what it
// takes up is just that.
func TestReload(t *testing.T) {
	t.Parallel()
	decode := func(text string) config.Config {
		t.Helper()
		c, err := config.Decode([]byte(text), "f.toml", env())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(0); err != nil {
			t.Fatal(err)
		}

		return c
	}
	old := decode("log.level = 'info'\nwatch = []\n")
	next := decode(`
log.level = "debug"
log.format = "json"
nats.prefix = "other"
worker.rate = 7.5
worker.concurrency = 3
wildfire.uploads_per_day = 9
wildfire.urgent_sources = ["mail"]
[[watch]]
path = "inbox"
[[policy]]
submit = "never"
[[sink]]
name = "a"
kind = "file"
path = "a.jsonl"
[auth.other]
kind = "api-key"
`)

	var reload, restart []string
	for _, c := range old.Changes(next) {
		if c.Reload {
			reload = append(reload, c.Key)
		} else {
			restart = append(restart, c.Key)
		}
	}

	if got, want := strings.Join(reload, " "), "wildfire.uploads_per_day wildfire.urgent_sources worker.rate policy sink log.level"; !sameWords(got, want) {
		t.Errorf("taken up: %s, want %s", got, want)
	}
	if got, want := strings.Join(restart, " "), "nats.prefix watch worker.concurrency auth log.format"; !sameWords(got, want) {
		t.Errorf("need a restart: %s, want %s", got, want)
	}

	merged := old.Reloaded(next)
	for _, c := range merged.Changes(next) {
		if c.Reload {
			t.Errorf("%s was not taken up", c.Key)
		}
	}

	for _, c := range old.Changes(merged) {
		if !c.Reload {
			t.Errorf("%s was taken up", c.Key)
		}
	}

	if old.Log.Level != "info" || len(old.Sink) != 0 {
		t.Error("the configuration from before has changed")
	}
	if got := merged.Source("worker.rate"); got != "f.toml:5" {
		t.Errorf("worker.rate comes from %q", got)
	}
	if again := next.Changes(next); len(again) != 0 {
		t.Errorf("differs from itself: %v", again)
	}
}

func sameWords(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	slices.Sort(x)
	slices.Sort(y)

	return slices.Equal(x, y)
}
