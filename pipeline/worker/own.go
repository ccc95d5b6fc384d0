package worker

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"backburn/internal/guard"
	"backburn/internal/rootfs"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// preScanLimit is the largest size, in bytes, at which contents with a trusted hash are scanned
// before any of them is sent. Larger contents are scanned during the upload.
const preScanLimit = 1 << 20

// guardedContents returns contents that are scanned while they are read, even if they were scanned
// before. This is the last check: if the contents have a secret, the upload fails before it sends
// the part of the secret that the guard compares (guard.Guard.Reader).
func guardedContents(g *guard.Guard, c queue.Contents) queue.Contents {
	open := c.Open
	c.Open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}

		return guardedReader{g.Reader(r)}, nil
	}

	return c
}

// guardedReader turns the guard's refusal into an error of the pipeline.
type guardedReader struct{ io.ReadCloser }

func (r guardedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // readers return io.EOF without wrapping it
		err = asPipelineError(err)
	}

	return n, err
}

// asPipelineError converts an error of the guard to one of the pipeline.
func asPipelineError(err error) error {
	if errors.Is(err, guard.ErrOwn) {
		return fmt.Errorf("%w: %w", pipeline.ErrOwn, err)
	}

	return err
}

// checkScan returns an error that matches pipeline.ErrOwn if a secret was seen.
func checkScan(g *guard.Guard, s *guard.Scan) error {
	err := s.Err()
	if err != nil {
		g.Withheld()
	}

	return asPipelineError(err)
}

// checkNotOwn returns an error that matches pipeline.ErrOwn if a file, or a folder that it is in,
// is Backburn's own.
func checkNotOwn(g *guard.Guard, dir *rootfs.Root, name string, st rootfs.State) error {
	if err := g.File(st.Identity); err != nil {
		return asPipelineError(err)
	}
	if inSpool, ok := strings.CutPrefix(name, pipeline.SpoolDir+"/"); ok {
		if sub, _, _ := strings.Cut(inSpool, "/"); sub == "claimed" || sub == "done" {
			return nil
		}
		return fmt.Errorf("%w: %s belongs to a watcher", pipeline.ErrOwn, name)
	}

	for at := path.Dir(name); at != "."; at = path.Dir(at) {
		st, err := dir.Lstat(at)
		if err != nil {
			return fmt.Errorf("%w: %w", pipeline.ErrUnreadable, err)
		}
		if err := g.File(st.Identity); err != nil {
			return asPipelineError(err)
		}
	}

	return nil
}
