package app_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/pipeline/watch"
)

// TestWatchersHaveOneSetOfDefaults compares what an empty configuration means with the defaults that
// package watch has, and is tested with.
func TestWatchersHaveOneSetOfDefaults(t *testing.T) {
	t.Parallel()
	got := app.WatchConfig(config.Default().Watch[0])
	want := watch.DefaultConfig()
	want.Path = got.Path
	want.Source = got.Source
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("package watch has -, the configuration +:\n%s", diff)
	}
}
