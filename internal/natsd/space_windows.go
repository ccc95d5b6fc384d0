package natsd

import (
	"fmt"

	"golang.org/x/sys/windows"

	"backburn/internal/config"
)

// FreeSpace returns the space, in bytes, that the file system of dir has left for this user.
func FreeSpace(dir string) (config.Size, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}

	return config.Size(free), nil
}
