package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Errors that callers branch on, in addition to those of io/fs.
var (
	// ErrRoot matches every error of opening the root itself.
	ErrRoot = errors.New("the folder itself cannot be opened")
	// ErrForeignLink matches names that the operator chose and that lead through a link of another
	// user. That user could change the link at any time.
	ErrForeignLink = errors.New("a link of another user")
	// ErrOutside matches names that lead through a link or out of the root.
	ErrOutside = errors.New("the name leads through a link or out of the folder")
	// ErrOtherMount matches names on another mount than the root if that is not allowed, and
	// renames between mounts.
	ErrOtherMount = errors.New("the name is on another mount")
	// ErrNotRegular matches devices, pipes, sockets and folders in place of a file.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge matches files that are larger than the caller wants to read.
	ErrTooLarge = errors.New("too large")
	// ErrBusy matches files that cannot be opened now because another process writes to them.
	ErrBusy = errors.New("somebody has the file open for writing")
)

// maxLinks is the maximum number of links in a name, as in Linux.
const maxLinks = 40

// foreignLink returns the error for a link of another user.
func foreignLink(link string, owner uint32) error {
	return fmt.Errorf("%w: %s belongs to the user with the ID %d, who could change it; make it a folder or file, or a link of root (chown -h)",
		ErrForeignLink, link, owner)
}

// Cause says why a file could not be opened or read.
type Cause uint8

// Causes.
const (
	None    Cause = iota // no error
	NoRoot               // the root cannot be opened: not mounted, removed or forbidden
	Missing              // there is no such file
	Outside              // the name leads through a link or out of the root
	Special              // it is not a regular file
	Denied               // this process lacks permission, but another may have it
	Busy                 // another process writes to it; it may work later
	Fault                // anything else: an I/O error, or a limit of this process or machine
)

// CauseOf classifies an error of this package.
func CauseOf(err error) Cause {
	switch {
	case err == nil:
		return None
	case errors.Is(err, ErrRoot):
		return NoRoot
	case errors.Is(err, ErrOutside), errors.Is(err, ErrOtherMount):
		return Outside
	case errors.Is(err, ErrNotRegular):
		return Special
	case errors.Is(err, ErrBusy):
		return Busy
	case IsGone(err), IsTooLong(err), errors.Is(err, fs.ErrInvalid):
		return Missing // a name that the file system cannot store does not exist
	case errors.Is(err, fs.ErrPermission):
		return Denied
	}

	return Fault
}

// IsGone reports whether a file or folder did not exist.
func IsGone(err error) bool { return errors.Is(err, fs.ErrNotExist) || isNotDir(err) }

// IsBlocked reports whether something that is not a folder is where a folder should be.
func IsBlocked(err error) bool {
	return isNotDir(err) || errors.Is(err, ErrOutside) || errors.Is(err, ErrNotRegular)
}

// check returns an error unless rel can only refer to something below the root.
func check(op, rel string) error {
	if strings.IndexByte(rel, 0) >= 0 {
		return &fs.PathError{Op: op, Path: rel, Err: fs.ErrInvalid}
	}

	for part := range strings.SplitSeq(rel, "/") {
		switch part {
		case "..":
			return fmt.Errorf("%w: %q", ErrOutside, rel)
		case "", ".":
			return &fs.PathError{Op: op, Path: rel, Err: fs.ErrInvalid}
		}
	}

	if isForbiddenName(rel) {
		return fmt.Errorf("%w: %q", ErrOutside, rel)
	}

	return nil
}
