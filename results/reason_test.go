package results_test

import (
	"slices"
	"testing"

	"backburn/results"
)

// Somebody is called for what needs a person, and not for what is as usual.
func TestExpectedReasons(t *testing.T) {
	t.Parallel()
	expected := []results.Reason{results.UnsupportedType, results.TooLarge, results.Empty, results.Withheld}
	for _, r := range results.Reasons() {
		if got, want := r.Expected(), slices.Contains(expected, r); got != want {
			t.Errorf("%s is expected: %v, want %v", r, got, want)
		}
	}
}
