package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/spool"
	"backburn/results"
)

// An unfinished copy is named copyPrefix + id + copySuffix.
const (
	copyPrefix = ".backburn-"
	copySuffix = ".tmp"
)

// errAfterFolder is matched by faults of a folder to which finished files are moved.
var errAfterFolder = errors.New("the folder for finished files")

func copyName() string { return copyPrefix + spool.NewID(time.Now(), spool.RootTag) + copySuffix }

// moveOut moves a claimed file to a configured folder. If that is on another file system, it copies
// the file.
func (f *finisher) moveOut(ctx context.Context, file *finishedFile) error {
	err := f.moveTo(ctx, file)
	if err == nil || ctx.Err() != nil || errors.Is(err, errUnsettled) || errors.Is(err, syscall.EPERM) || rootfs.IsGone(err) {
		return err // not a fault of the folder
	}

	return fmt.Errorf("%w %s: %w", errAfterFolder, file.action, err)
}

func (f *finisher) moveTo(ctx context.Context, file *finishedFile) error {
	out, err := openOrMake(file.action)
	if err != nil {
		return err
	}
	defer out.Close()

	base := path.Base(file.rel)
	if file.sidecar != nil {
		base = spool.Shorten(base, spool.NameMax-len(spool.SidecarSuffix))
	}
	for n := 0; ctx.Err() == nil; n++ {
		to := spool.Numbered(base, n)
		if file.sidecar != nil {
			// Write the sidecar first: it reserves the name.
			ok, err := reserveName(out, to+spool.SidecarSuffix, file.id, file.sidecar)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
		}

		err := rootfs.Move(f.spool.Root, file.path(), out, to)
		if isMount(err) {
			err = f.copyOut(ctx, file, out, to)
		}
		if errors.Is(err, fs.ErrExist) {
			if file.sidecar != nil {
				_ = out.Remove(to + spool.SidecarSuffix)
			}
			continue
		}
		if err != nil {
			return err
		}

		return out.SyncDir("")
	}

	return ctx.Err()
}

// reserveName reserves a name by writing the sidecar, durably and atomically. It returns false if
// something else has the name. A sidecar of this job, left by an interrupted attempt, is kept.
func reserveName(out *rootfs.Root, name, id string, sidecar []byte) (ok bool, err error) {
	err = out.WriteFile(name, sidecar, rootfs.Write{Temp: copyName(), NoReplace: true})
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}

	b, err := out.ReadFile(name, maxSidecar)
	switch cause := rootfs.CauseOf(err); {
	case cause == rootfs.Special, cause == rootfs.Outside, cause == rootfs.Denied, errors.Is(err, rootfs.ErrTooLarge):
		return false, nil // not a sidecar of this watcher
	case err != nil:
		return false, err
	}
	var e results.Event

	return json.Unmarshal(b, &e) == nil && e.Data.JobID == id, nil
}

// maxSidecar is the maximum size of a sidecar in bytes.
const maxSidecar = 1 << 20

// copyOut moves a file to another file system. The copy gets its final name once it is complete and
// durable; only then is the original removed. After a crash between the two, the repeat finds a
// copy with the same contents and keeps it.
func (f *finisher) copyOut(ctx context.Context, file *finishedFile, out *rootfs.Root, to string) error {
	if err := f.reopen(&file.claimedFile); err != nil {
		return err
	}
	tmp := copyName()
	dst, err := out.Create(tmp)
	if err != nil {
		return err
	}
	defer func() { _ = out.Remove(tmp) }() // after a success it no longer exists: it was renamed

	file.f.Rewind()
	err = copyFile(ctx, dst, file.f, file.state.Size)
	if err == nil {
		err = rootfs.Chtimes(dst, file.state.Mtime)
	}
	if err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return err
	}
	if !f.isUnchanged(file) {
		return errUnsettled
	}

	if err := rootfs.Move(out, tmp, out, to); err != nil {
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		same, serr := f.sameContents(ctx, out, tmp, to)
		if serr != nil || !same {
			return errors.Join(err, serr)
		}
	}
	if err := out.SyncDir(""); err != nil {
		return err
	}
	f.w.notifyStep("copied")
	if rootfs.ClosesBeforeRename {
		file.close()
	}

	return f.spool.Remove(file.path())
}

// sameContents reports whether two regular files hold the same bytes.
func (f *finisher) sameContents(ctx context.Context, r *rootfs.Root, a, b string) (bool, error) {
	sumA, sizeA, err := f.hashers.digest(ctx, r, a)
	if err != nil {
		return false, err
	}
	sumB, sizeB, err := f.hashers.digest(ctx, r, b)
	if rootfs.CauseOf(err) == rootfs.Special || rootfs.CauseOf(err) == rootfs.Outside {
		return false, nil
	}

	return sizeA == sizeB && sumA == sumB, err
}

// sweepCopies removes unfinished copies from the folders to which finished files are moved.
func sweepCopies(after After) error {
	var errs []error
	for _, dir := range after.actions() {
		if !isFolder(dir) {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil && !rootfs.IsGone(err) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			name, isCopy := strings.CutPrefix(e.Name(), copyPrefix)
			id, _ := strings.CutSuffix(name, copySuffix)
			if isCopy && spool.IsLeftover(id) {
				errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
			}
		}
	}

	return errors.Join(errs...)
}
