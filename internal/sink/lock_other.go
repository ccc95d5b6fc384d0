//go:build !unix

package sink

import "os"

// lock does nothing: there is one writer.
func lock(*os.File) (unlock func()) { return func() {} }
