//go:build !unix

package secret

import (
	"errors"
	"io/fs"
)

const openNonblocking = 0

// checkMode checks only the type of the file, because this system has no reliable permission bits.
func checkMode(_ string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	return nil
}
