//go:build unix

package safepath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// NoFollow makes opening fail if the last element of a path is a symbolic link.
const NoFollow = syscall.O_NOFOLLOW

const maxLinks = 40 // as in Linux

// Check follows path, including symbolic links, and returns an error that wraps ErrUnsafe if
// another user can replace an element. An element can be replaced if its folder is world-writable,
// unless the folder is sticky and the element belongs to root or this user. A missing element is
// safe in every folder but a world-writable one that is not sticky. After a successful Check the
// path can be opened by name.
func Check(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}

	rest := strings.Split(strings.TrimPrefix(abs, "/"), "/")
	folder, links := "/", 0
	for len(rest) > 0 {
		next := filepath.Join(folder, rest[0])
		rest = rest[1:]

		info, err := checkElement(folder, next)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}

		if info.Mode()&fs.ModeSymlink == 0 {
			folder = next
			continue
		}

		links++
		if links > maxLinks {
			return fmt.Errorf("%s: too many links", path)
		}

		target, err := os.Readlink(next)
		if err != nil {
			return err
		}
		if filepath.IsAbs(target) {
			folder = "/"
		}

		rest = append(strings.Split(strings.Trim(target, "/"), "/"), rest...)
	}

	return nil
}

func errWorldWritable(folder string) error {
	return fmt.Errorf("%w: %s is a world-writable folder", ErrUnsafe, folder)
}

// checkElement checks one element of a path in its folder.
func checkElement(folder, element string) (fs.FileInfo, error) {
	dir, err := os.Lstat(folder)
	if err != nil {
		return nil, err
	}

	info, err := os.Lstat(element)
	if err != nil {
		if dir.Mode().Perm()&0o002 != 0 && dir.Mode()&fs.ModeSticky == 0 {
			return nil, errWorldWritable(folder)
		}

		return nil, err
	}

	switch {
	case dir.Mode().Perm()&0o002 == 0:
		return info, nil
	case dir.Mode()&fs.ModeSticky == 0:
		return nil, errWorldWritable(folder)
	case !ownedByUsOrRoot(info):
		return nil, fmt.Errorf("%w: %s belongs to another user, in a world-writable folder", ErrUnsafe, element)
	default:
		return info, nil
	}
}

// ownedByUsOrRoot reports whether a file belongs to root or to this user.
func ownedByUsOrRoot(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == os.Geteuid())
}
