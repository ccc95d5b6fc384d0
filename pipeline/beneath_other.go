//go:build !linux

package pipeline

import "os"

// openBeneath opens a name beneath root for reading, without following links.
func openBeneath(root, name string) (*os.File, error) { return openStepwise(root, name) }
