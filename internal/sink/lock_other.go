//go:build !unix

package sink

import "os"

// lock does nothing, because there is only one writer.
func lock(*os.File) (unlock func()) { return func() {} }
