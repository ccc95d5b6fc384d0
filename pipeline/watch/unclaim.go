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
// where they were found, adding a number if the name is taken. If kept is true it also returns
// files that were kept after their verdict, malware among them. It reports each move with paths
// relative to the folder. left is the number of files that remain in the spool. While a watcher has
// the folder's ledger open, Unclaim returns ledger.ErrHeld.
//
// The jobs of claimed files stay in the queue. They end as content_missing, unless WildFire already
// has the contents.
func Unclaim(ctx context.Context, name string, kept bool, report func(from, to string)) (left int, err error) {
	folder, err := rootfs.Open(name)
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	s, err := spool.Existing(folder)
	if rootfs.IsGone(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer s.Close()

	held, err := ledger.Exists(s.Root)
	if err != nil {
		return 0, err
	}
	if held {
		l, err := ledger.Open(s.Root)
		if err != nil {
			return 0, err
		}
		defer l.Close()
	}

	g := giver{folder: folder, spool: s, report: report}
	dirs, err := s.Outcomes()
	if err != nil {
		return 0, err
	}
	for _, dir := range append([]string{spool.Claimed}, dirs...) {
		if err := g.empty(ctx, dir, kept || dir == spool.Claimed); err != nil {
			return g.left, err
		}
	}

	return g.left, nil
}

// giver moves files out of a spool.
type giver struct {
	folder *rootfs.Root
	spool  *spool.Spool
	report func(from, to string)
	left   int
}

// empty moves the files in one folder of the spool back, or only counts them.
func (g *giver) empty(ctx context.Context, dir string, move bool) error {
	var names []string
	if err := g.spool.Each(dir, func(name string) bool { names = append(names, name); return true }); err != nil {
		return err
	}
	slices.Sort(names) // in the order in which they were claimed

	for _, name := range names {
		if strings.HasPrefix(name, ".") { // a file that keeps the folder from being empty
			continue
		}
		if !move {
			g.left++
			continue
		}
		if err := g.unclaim(ctx, dir, name); err != nil {
			return err
		}
	}

	return nil
}

func (g *giver) unclaim(ctx context.Context, dir, name string) error {
	rel := g.origin(name)
	parent := path.Dir(rel)
	if parent != "." {
		if err := g.folder.MkdirAll(parent, 0o777); err != nil {
			if !rootfs.IsBlocked(err) {
				return err
			}
			parent = "."
		}
	}

	to, err := renameNumbered(ctx, g.spool.Root, path.Join(dir, name), g.folder, parent, path.Base(rel))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed in the meantime
	}
	if err != nil {
		return err
	}
	if err := g.folder.SyncDir(parent); err != nil {
		return err
	}
	g.report(path.Join(spool.Dir, dir, name), to)

	return nil
}

// origin returns where a file in the spool was found, or its name if that is not recorded.
func (g *giver) origin(name string) string {
	id, base, whole, ok := spool.SplitName(name)
	if !ok {
		return name
	}
	rel, err := g.spool.Paths.Found(id, base, whole)
	if err != nil {
		return base
	}

	return rel
}
