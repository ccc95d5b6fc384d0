package watch

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/ledger"
	"backburn/pipeline/watch/spool"
)

// Unclaim empties the spool of a folder that is no longer watched. It returns claimed files to
// where they were found, adding a number if the name is taken, and the metadata of such a file as
// <name>.json beside it. If kept is true it also returns files that were kept after their verdict,
// malware among them. It reports each move with paths relative to the folder. left is the number of
// files that remain in the spool. While a watcher has the folder's ledger open, Unclaim returns
// ledger.ErrLocked.
//
// The jobs of claimed files stay in the queue. They end with the reason content_missing, unless
// WildFire already has the contents.
func Unclaim(ctx context.Context, name string, kept bool, report func(from, to string)) (left int, err error) {
	folder, err := rootfs.Open(name)
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	s, err := spool.OpenExisting(folder)
	if rootfs.IsGone(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer s.Close()

	hasLedger, err := ledger.Exists(s.Root)
	if err != nil {
		return 0, err
	}
	if hasLedger {
		l, err := ledger.Open(s.Root)
		if err != nil {
			return 0, err
		}
		defer l.Close()
	}

	u := unclaimer{folder: folder, spool: s, report: report}
	dirs, err := s.DoneFolders()
	if err != nil {
		return 0, err
	}
	for _, dir := range append([]string{spool.Claimed}, dirs...) {
		if err := u.emptyFolder(ctx, dir, kept || dir == spool.Claimed); err != nil {
			return u.left, err
		}
	}

	return u.left, nil
}

// unclaimer moves files out of a spool.
type unclaimer struct {
	folder *rootfs.Root
	spool  *spool.Spool
	report func(from, to string)
	left   int
}

// emptyFolder moves the files in one folder of the spool back, or only counts them.
func (u *unclaimer) emptyFolder(ctx context.Context, dir string, move bool) error {
	var names []string
	if err := u.spool.Each(dir, func(name string) bool { names = append(names, name); return true }); err != nil {
		return err
	}
	slices.Sort(names) // in the order in which they were claimed

	for _, name := range names {
		if strings.HasPrefix(name, ".") { // a placeholder such as .gitkeep
			continue
		}
		if !move {
			u.left++
			continue
		}
		if err := u.unclaim(ctx, dir, name); err != nil {
			return err
		}
	}

	return nil
}

func (u *unclaimer) unclaim(ctx context.Context, dir, name string) error {
	rel, err := restorePath(u.folder, u.origin(name))
	if err != nil {
		return err
	}

	to, err := u.move(ctx, path.Join(dir, name), rel)
	if err != nil || to == "" {
		return err
	}
	if id, _, _, ok := spool.SplitName(name); ok && dir == spool.Claimed {
		_, err = u.move(ctx, path.Join(spool.Beside, id), to+".json")
	}

	return err
}

// move moves a file out of the spool, and returns its new path; "" if there is no such file.
func (u *unclaimer) move(ctx context.Context, from, rel string) (to string, err error) {
	to, err = renameNumbered(ctx, u.spool.Root, from, u.folder, rel)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // removed in the meantime
	}
	if err != nil {
		return "", err
	}
	if err := u.folder.SyncDir(path.Dir(to)); err != nil {
		return "", err
	}
	u.report(path.Join(spool.Dir, from), to)

	return to, nil
}

// origin returns where a file in the spool was found, or its name if that is not recorded.
func (u *unclaimer) origin(name string) string {
	id, base, whole, ok := spool.SplitName(name)
	if !ok {
		return name
	}
	rel, err := u.spool.Paths.Original(id, base, whole)
	if err != nil {
		return base
	}

	return rel
}
