//go:build darwin || windows

package watch

import "fmt"

// eventLimits knows no limits on this system.
func eventLimits(folders int) limits {
	return limits{detail: fmt.Sprintf("%d folders", folders)}
}
