//go:build darwin || windows

package watch

import "fmt"

// eventLimits has no limits to compare with here.
func eventLimits(folders int) limits {
	return limits{detail: fmt.Sprintf("%d folders", folders)}
}
