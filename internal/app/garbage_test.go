package app

import "testing"

// A process with little live memory is left to the runtime's default.
func TestGCPercent(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{
		0:               100,
		maxGarbage:      100,
		maxGarbage + 1:  90,
		2 * maxGarbage:  50,
		3 * maxGarbage:  30,
		10 * maxGarbage: 20,
		1 << 50:         20,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d MB live: %d %%, want %d", live>>20, got, want)
		}
	}
}
