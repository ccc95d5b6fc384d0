package rootfs

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenPath is like os.OpenFile for a name that the operator chose, but follows only links of the
// superuser or of this user. The error for another link matches ErrForeignLink.
func OpenPath(name string, flags int, perm fs.FileMode) (*os.File, error) {
	fd, err := openPath(name, flags, perm)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}

	return os.NewFile(uintptr(fd), name), nil
}

// openPath resolves a name component by component, so that nobody can exchange a component between
// its check and its use.
func openPath(name string, flags int, perm fs.FileMode) (int, error) {
	p := pathWalk{at: unix.AT_FDCWD, rest: name}
	defer func() { p.moveTo(unix.AT_FDCWD) }()
	if name == "" {
		return -1, unix.ENOENT
	}

	for {
		component, isLast, err := p.next()
		if err != nil {
			return -1, err
		}
		fd, err := retry(func() (int, error) {
			return unix.Openat(p.at, component, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		})
		if isLast && errors.Is(err, unix.ENOENT) && flags&os.O_CREATE != 0 {
			return p.open(component, flags, perm)
		}
		if err != nil {
			return -1, err
		}

		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		switch {
		case err != nil:
			unix.Close(fd)
			return -1, err
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			err = p.follow(fd, component, st.Uid)
			unix.Close(fd)
			if err != nil {
				return -1, err
			}
		case isLast:
			unix.Close(fd)
			return p.open(component, flags, perm)
		default:
			p.moveTo(fd)
		}
	}
}

// pathWalk is the state of resolving a name.
type pathWalk struct {
	at    int    // the folder that has been reached
	rest  string // what is still to be resolved
	links int
}

// next returns the next component of the rest. An absolute rest begins at the root of the system.
func (p *pathWalk) next() (component string, isLast bool, err error) {
	if strings.HasPrefix(p.rest, "/") {
		fd, err := retry(func() (int, error) { return unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
		if err != nil {
			return "", false, err
		}
		p.moveTo(fd)
	}

	component, p.rest, _ = strings.Cut(strings.TrimLeft(p.rest, "/"), "/")
	p.rest = strings.TrimLeft(p.rest, "/")
	if component == "" {
		component = "."
	}

	return component, p.rest == "", nil
}

func (p *pathWalk) moveTo(fd int) {
	if p.at != unix.AT_FDCWD {
		unix.Close(p.at)
	}
	p.at = fd
}

// follow continues at the target of a link.
func (p *pathWalk) follow(link int, component string, owner uint32) error {
	p.links++
	switch {
	case p.links > maxLinks:
		return unix.ELOOP
	case !isOwn(owner):
		return foreignLink(component, owner)
	}

	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(link, "", target)
	if err != nil {
		return err
	}
	p.rest = cmp.Or(strings.TrimRight(string(target[:n])+"/"+p.rest, "/"), "/")

	return nil
}

func (p *pathWalk) open(component string, flags int, perm fs.FileMode) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(p.at, component, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(perm.Perm()))
	})
}
