package sink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Appendable returns an error if there is something at a path to which a sink cannot append: not a
// regular file (opening a pipe may block), or a link to nothing.
func Appendable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is a link to a file that does not exist", path)
		}
	}

	return nil
}
