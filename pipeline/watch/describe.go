package watch

import (
	"context"
	"path"

	"backburn/internal/rootfs"
	"backburn/pipeline"
	"backburn/pipeline/watch/beside"
)

// descriptionKind returns the configured kind of descriptions beside files.
func (f *folder) descriptionKind() beside.Kind { return beside.Kind(f.cfg.Metadata) }

// isDescription reports whether rel is a description, and not a file to submit. Suricata's JSON
// files always are descriptions. Other JSON files are descriptions only if the file that they would
// describe exists.
func (f *folder) isDescription(rel string) bool {
	described, ok := f.descriptionKind().DescribedFile(rel)
	if !ok || f.descriptionKind() == beside.Suricata {
		return ok
	}
	st, err := f.root.Lstat(described)

	return err == nil && st.Regular
}

// findDescription returns the path of a file's description in the watched folder, or "" if it has
// none. Files of Backburn itself never count as descriptions.
func (f *folder) findDescription(ctx context.Context, rel string) string {
	if f.cfg.Metadata == MetadataNone {
		return ""
	}

	dir, base := path.Split(rel)
	var names []string
	if f.descriptionKind().NeedsNames(base) {
		var err error
		if names, err = f.listNames(path.Dir(rel)); err != nil && !rootfs.IsGone(err) {
			f.reportFault(ctx, "metadata", err)
			return ""
		}
	}

	newest := f.descriptionKind().Newest(base, names)
	if newest == "" {
		return ""
	}
	st, err := f.root.Lstat(dir + newest)
	if err != nil || !st.Regular {
		return ""
	}
	if err := f.w.guard.File(st.Identity); err != nil {
		f.reportOwnFile(ctx, dir+newest, err)
		return ""
	}

	return dir + newest
}

// listNames returns the names in a folder.
func (f *folder) listNames(dir string) (names []string, err error) {
	for e, err := range f.root.Entries(dir) {
		if err != nil {
			return nil, err
		}
		names = append(names, e.Name())
	}

	return names, nil
}

// addDescription adds the contents of a description to a job, and reports whether there is one. If
// it cannot be used, the job's metadata says so, and a policy may hold the job back.
func (f *folder) addDescription(job *pipeline.Job, root *rootfs.Root, name string) bool {
	if f.cfg.Metadata == MetadataNone {
		return false
	}
	text, err := root.ReadFile(name, beside.MaxSize)
	if rootfs.IsGone(err) {
		return false
	}

	var a beside.Description
	if err == nil {
		a, err = f.parseDescription(text)
	}
	if err != nil {
		f.w.log.Warn().Err(err).Str("path", job.Path).Msg("cannot use the metadata beside a file")
		a = beside.Unusable(err)
	}
	a.Apply(job)

	return true
}

// parseDescription parses a description, unless it holds a secret.
func (f *folder) parseDescription(text []byte) (beside.Description, error) {
	scan := f.w.guard.Scan()
	_, _ = scan.Write(text) // never fails
	if err := scan.Err(); err != nil {
		return beside.Description{}, err
	}

	return f.descriptionKind().Parse(text)
}
