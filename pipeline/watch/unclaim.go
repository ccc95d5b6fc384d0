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

// Unclaim ends the use of a folder that no watcher watches any more: files that are claimed return
// to where they were found, under a name with a number if theirs is taken; and so do those that
// were kept after their verdict, where kept says so, malware among them. It reports each by paths
// relative to the folder. left is how many files the spool still holds. While a watcher has the
// folder's ledger open it returns ledger.ErrHeld.
//
// The queue still has the jobs of claimed files: they end as content_missing, if WildFire has not
// taken their files yet.
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

// empty moves the files of one folder of the spool back, or counts them.
func (g *giver) empty(ctx context.Context, dir string, move bool) error {
	var names []string
	if err := g.spool.Each(dir, func(name string) bool { names = append(names, name); return true }); err != nil {
		return err
	}
	slices.Sort(names) // by the time at which they were claimed

	for _, name := range names {
		if strings.HasPrefix(name, ".") { // what keeps the folder itself
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
		return nil // somebody removed it meanwhile
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

// origin is where a file of the spool was found, or its name where that is not known any more.
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
