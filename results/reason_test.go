package results_test

import (
	"slices"
	"testing"

	"backburn/results"
)

// Reasons that need a person are not expected, and ordinary outcomes are.
func TestExpectedReasons(t *testing.T) {
	t.Parallel()
	expected := []results.Reason{results.UnsupportedType, results.TooLarge, results.Empty, results.Withheld}
	for _, r := range results.Reasons() {
		if got, want := r.Expected(), slices.Contains(expected, r); got != want {
			t.Errorf("%s is expected: %v, want %v", r, got, want)
		}
	}
}
