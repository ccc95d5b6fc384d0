package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// openStepwise opens a name beneath root without following a link on any step, with
// portable means: every step is looked at before the file is opened, and the file
// afterwards is the one that was looked at.
func openStepwise(root, name string) (*os.File, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRootAway, err)
	}
	defer r.Close()
	steps := strings.Split(filepath.ToSlash(name), "/")
	var last fs.FileInfo
	for i := range steps {
		step := filepath.Join(steps[:i+1]...)
		if last, err = r.Lstat(step); err != nil {
			return nil, outOfReach(err)
		}
		if last.Mode()&fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("%w: %s is a link", errContentForbidden, step)
		}
	}
	if !last.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", errContentForbidden, name)
	}
	f, err := r.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, outOfReach(err)
	}
	if st, err := f.Stat(); err != nil || !os.SameFile(st, last) {
		f.Close()
		return nil, fmt.Errorf("%w: %s was replaced while it was opened", errContentForbidden, name)
	}
	return f, nil
}

// outOfReach names what leads out of the root, or is not allowed; what does not exist
// stays as it is, and so does what can't.
func outOfReach(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR) ||
		strings.Contains(err.Error(), "path escapes") {
		return fmt.Errorf("%w: %w", errContentForbidden, err)
	}
	return err
}
