package watch

import (
	"errors"
	"io/fs"
	"os"

	"backburn/internal/rootfs"
)

// openOrMake opens a folder that the operator named, and creates it if it is missing.
func openOrMake(name string, opts ...rootfs.Option) (*rootfs.Root, error) {
	r, err := rootfs.Open(name, opts...)
	if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}

	return rootfs.Open(name, opts...)
}
