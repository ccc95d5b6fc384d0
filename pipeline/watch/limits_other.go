//go:build darwin || windows

package watch

import "fmt"

// eventLimits knows no limits on this system.
func eventLimits(folders int) (detail, fix string) { return fmt.Sprintf("%d folders", folders), "" }
