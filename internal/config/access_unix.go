//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// exposed says what is wrong with the permissions of a secret file, or "".
//
// Docker, Kubernetes and systemd hand secrets over as files that look too open (0444,
// 0644, 0440) in folders that are not; those folders are known and let pass. What anybody
// may write to is refused everywhere.
func exposed(file string, info fs.FileInfo) string {
	mode := info.Mode().Perm()
	switch {
	case mode&0o002 != 0:
		return fmt.Sprintf("everybody may write to %s (mode %#o); run chmod 600 on it", quote(file), mode)
	case mode&0o077 != 0 && !managed(file):
		return fmt.Sprintf("others may read %s (mode %#o); run chmod 600 on it", quote(file), mode)
	}
	return ""
}

// managed reports whether the file lies where a container runtime or systemd puts
// secrets, also by way of links, as Kubernetes does.
func managed(file string) bool {
	roots := []string{"/run/secrets", "/var/run/secrets", "/run/credentials"}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		roots = append(roots, dir)
	}
	if slices.ContainsFunc(roots, func(root string) bool { return within(file, root) }) {
		return true
	}
	// The kubelet swaps the contents of a volume through a link with this name.
	target, err := os.Readlink(file)
	return err == nil && strings.HasPrefix(filepath.ToSlash(target), "..data/")
}

// accessible asks the kernel, with the effective user of this process.
func accessible(dir string, want access) error {
	flags := uint32(unix.R_OK | unix.X_OK)
	if want == write {
		flags |= unix.W_OK
	}
	if err := unix.Faccessat(unix.AT_FDCWD, dir, flags, unix.AT_EACCESS); err != nil {
		if want == write {
			return fmt.Errorf("cannot be read and written by this user: %w", err)
		}
		return fmt.Errorf("cannot be read by this user: %w", err)
	}
	return nil
}
