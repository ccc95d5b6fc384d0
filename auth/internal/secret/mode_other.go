//go:build !unix

package secret

import (
	"errors"
	"io/fs"
)

const openNonblocking = 0

// checkMode checks what can be told here: there are no permission bits that mean
// what they say.
func checkMode(_ string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	return nil
}
