//go:build !unix

package sink

import "os"

// lock does nothing on this system.
func lock(*os.File) (unlock func()) { return func() {} }
