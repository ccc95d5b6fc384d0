package clamd

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"backburn/internal/rootfs"
)

// Limits of a scan.
const (
	maxScanDepth     = 64 // nested folders
	maxParallelScans = 8  // files that a MULTISCAN judges at once
)

// scan judges a file, or the files of a folder. SCAN and ALLMATCHSCAN stop at the first malicious
// file, CONTSCAN continues, and MULTISCAN judges several files at a time.
func (s *Server) scan(command, name string, to responder) {
	root, rel, ok := s.resolve(name)
	if !ok {
		s.reply(s.failedResult("Access denied"), oneLine(name), to)
		return
	}
	dir, err := rootfs.Open(root)
	if err != nil {
		s.reply(s.failedResult("lstat() failed: "+reason(err)), oneLine(name), to)
		return
	}
	defer dir.Close()

	w := &walk{s: s, root: dir, command: command, to: to}
	w.files.SetLimit(1)
	if command == "MULTISCAN" {
		w.files.SetLimit(maxParallelScans)
	}
	err = w.visit(rel, name, 0)
	_ = w.files.Wait()
	if err == nil && w.folder && !w.answered.Load() {
		s.reply(resultOK, oneLine(name), to)
	}
}

// resolve returns the root that contains a path, and the path relative to it.
func (s *Server) resolve(name string) (root, rel string, ok bool) {
	if !path.IsAbs(name) {
		return "", "", false
	}
	clean := path.Clean(name)
	for _, r := range s.cfg.Roots {
		if r = path.Clean(r); len(r) < len(root) {
			continue
		}
		if under, inside := strings.CutPrefix(clean+"/", strings.TrimSuffix(r, "/")+"/"); inside {
			root = r
			rel = strings.TrimSuffix(under, "/")
			ok = true
		}
	}

	return root, rel, ok
}

// walk is a scan in progress.
type walk struct {
	s        *Server
	root     *rootfs.Root
	command  string
	to       responder
	folder   bool        // the scan is of a folder
	answered atomic.Bool // at least one answer was sent
	stopped  atomic.Bool
	files    errgroup.Group
}

// visit judges the file or folder rel. clientName is the client's name for it.
func (w *walk) visit(rel, clientName string, depth int) error {
	if w.stopped.Load() || w.s.Ending.Err() != nil {
		return errStopped
	}
	state, err := w.root.Lstat(rel)
	switch {
	case err != nil:
		return w.fail("lstat() failed: "+reason(err), clientName)
	case state.Dir:
		if depth == 0 {
			w.folder = true // set before other goroutines judge files
		}
		return w.visitFolder(rel, clientName, depth)
	case !state.Regular && depth > 0: // links, sockets and so on have no contents
		return nil
	}

	w.files.Go(func() error {
		if w.stopped.Load() {
			return nil
		}
		f, err := w.root.OpenFile(rel, os.O_RDONLY, 0)
		if err != nil {
			return w.fail(reason(err), clientName)
		}
		defer f.Close()
		return w.report(w.s.judgeFile(f, scanTarget{command: w.command, filename: path.Base(clientName), path: clientName}), clientName)
	})

	return nil
}

func (w *walk) visitFolder(rel, clientName string, depth int) error {
	if depth == maxScanDepth {
		return w.fail("too many nested folders", clientName)
	}
	for e, err := range w.root.Entries(rel) {
		if err != nil {
			return w.fail(reason(err), clientName)
		}
		if err := w.visit(path.Join(rel, e.Name()), strings.TrimSuffix(clientName, "/")+"/"+e.Name(), depth+1); err != nil {
			return err
		}
	}

	return nil
}

// fail reports something that cannot be read.
func (w *walk) fail(why, clientName string) error {
	return w.report(w.s.failedResult(why), clientName)
}

// report sends the answer about one file. In a folder, only malicious and failed files are
// reported.
func (w *walk) report(r result, clientName string) error {
	if w.folder && !r.found && !r.failed {
		return nil
	}
	w.answered.Store(true)
	if r.found && w.command != "CONTSCAN" && w.command != "MULTISCAN" {
		w.stopped.Store(true)
	}
	if w.to.send(oneLine(clientName)+": "+r.text) != nil {
		w.stopped.Store(true)
	}
	if w.stopped.Load() {
		return errStopped
	}

	return nil
}

// errStopped ends a scan early.
var errStopped = errors.New("stopped")

// oneLine makes a name safe for an answer, which ends at a newline or a NUL.
func oneLine(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, name)
}

// reason says why a file cannot be read, in clamd's words if it has a message for that.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "No such file or directory"
	case errors.Is(err, fs.ErrPermission):
		return "Access denied"
	case errors.Is(err, rootfs.ErrNotRegular):
		return "Not a regular file"
	}

	return "cannot be opened beneath its root"
}
