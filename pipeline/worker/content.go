package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"syscall"
	"time"

	"backburn/internal/guard"
	"backburn/internal/rootfs"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire"
)

// examiner reads the contents of jobs, and rejects Backburn's own files and secrets.
type examiner struct {
	*shared
	sources *sources
	guard   *guard.Guard // nil: no guard

	failedReads failedReads
}

// examine determines the hash and size of a job's contents. A publisher may have stated wrong ones,
// so the contents are hashed here, unless that was done before: by the queue, for contents that
// came in the message; by a watcher, for a file that it claimed; or by a worker, before the job was
// requeued. The uploader can read the contents until work ends.
func (e *examiner) examine(ctx, work context.Context, d *delivery) error {
	j := &d.Job
	scan := e.guard.Scan()
	if j.Kind == pipeline.KindURL {
		_, _ = io.WriteString(scan, j.URL) // never fails
		return checkScan(e.guard, scan)
	}

	limit := e.config().SizeLimit(j.Source)
	if j.Size > limit {
		return fmt.Errorf("%w: %d bytes; at most %d", wildfire.ErrTooLarge, j.Size, limit)
	}

	c, opened, err := e.findContents(work, d)
	if err != nil {
		return err
	}
	if opened != nil {
		defer opened.Close()
		e.sources.recordReached(j.Source)
	}
	d.contents = guardedContents(e.guard, c)

	switch {
	case j.Size != 0 && j.Size != c.Size:
		return fmt.Errorf("%w: %d bytes when submitted, %d now", pipeline.ErrContentChanged, j.Size, c.Size)
	case c.Size > limit:
		return fmt.Errorf("%w: %d bytes; at most %d", wildfire.ErrTooLarge, c.Size, limit)
	}
	_, _ = io.WriteString(scan, j.Filename+"\n") // the name is sent to WildFire, too
	if err := e.read(ctx, d, c, opened, scan); err != nil {
		return err
	}
	if c.Size == 0 {
		return wildfire.ErrEmptyFile
	}

	return checkScan(e.guard, scan)
}

// read reads contents once for several purposes: it hashes them unless the hash is trusted, scans
// them if they are hashed or small, and keeps their beginning if the policy depends on types.
func (e *examiner) read(ctx context.Context, d *delivery, c queue.Contents, opened io.ReadCloser, scan *guard.Scan) error {
	j := &d.Job
	if j.FromSpool() && !j.Verified {
		j.SetVerified(j.SHA256, c.Size)
	}

	d.head.left = 0
	if e.config().NeedsTypes() {
		d.head.left = pipeline.TypesBytes
	}
	limit := int64(d.head.left)
	to := []io.Writer{&d.head}
	sum := sha256.New()
	if !j.Verified || c.Size <= preScanLimit && scan.Needed() {
		limit = math.MaxInt64
		to = append(to, scan)
	}
	if !j.Verified {
		to = append(to, sum)
	}
	if limit == 0 {
		return nil
	}

	size, err := copyContents(ctx, io.MultiWriter(to...), c, opened, limit)
	if err != nil || j.Verified {
		return err
	}

	stated := j.SHA256
	j.SetVerified(hex.EncodeToString(sum.Sum(nil)), size)
	switch {
	case size != c.Size:
		return fmt.Errorf("%w: %d bytes when they were opened, %d when they were read", pipeline.ErrContentChanged, c.Size, size)
	case stated != "" && stated != j.SHA256:
		return fmt.Errorf("%w: the SHA-256 was %s when they were submitted", pipeline.ErrContentChanged, stated)
	}

	return nil
}

// findContents finds the contents of a file job: in its message, in an object, or in a file. opened
// is that file, which the caller closes, or nil if the contents are not in a file. An object can be
// read until work ends.
func (e *examiner) findContents(work context.Context, d *delivery) (c queue.Contents, opened io.ReadCloser, err error) {
	at := d.Job.Content
	switch {
	case d.Raw:
		return queue.Contents{
			Size: int64(len(d.Contents)),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(d.Contents)), nil },
		}, nil, nil
	case at.Object == "":
		return e.findFile(d.Job.Source, at.Name())
	}

	c, err = e.Queue.Objects().Find(work, at.Object)
	if err == nil && !d.Job.Verified && c.StoredAt.After(d.AcceptedAt.Add(clockSlack)) {
		err = fmt.Errorf("%w: object %q was replaced", pipeline.ErrContentChanged, at.Object)
	}

	return c, nil, err
}

// clockSlack is how far the clocks of the servers of a cluster may be apart: one stores the object,
// another the job.
const clockSlack = 100 * time.Millisecond

// findFile opens a file below the source's folder, unless the file is one of Backburn's own.
func (e *examiner) findFile(source, name string) (queue.Contents, io.ReadCloser, error) {
	root, ok := e.config().Roots[source]
	if !ok {
		return queue.Contents{}, nil, fmt.Errorf("%w: no folder is configured for source %q (worker.roots, or a [[watch]] of that source)",
			pipeline.ErrUnreachable, source)
	}

	open := func() (io.ReadCloser, error) {
		f, _, err := e.open(root, name)
		return f, err
	}
	f, st, err := e.open(root, name)
	if err != nil {
		return queue.Contents{}, nil, err
	}

	return queue.Contents{Size: st.Size, Open: open}, f, nil
}

// open opens a regular file below a folder, unless the file is one of Backburn's own.
func (e *examiner) open(root, name string) (*rootfs.File, rootfs.State, error) {
	dir, err := rootfs.Open(root)
	if err != nil {
		return nil, rootfs.State{}, fmt.Errorf("%w: %w", pipeline.ErrUnreachable, err)
	}
	defer dir.Close()

	f, err := openBeneath(dir, name)
	if err != nil {
		return nil, rootfs.State{}, err
	}
	st, err := f.Stat()
	if err != nil {
		err = fmt.Errorf("%w: %w", pipeline.ErrUnreadable, err)
	} else {
		err = checkNotOwn(e.guard, dir, name, st)
	}
	if err != nil {
		f.Close()
		return nil, rootfs.State{}, err
	}

	return f, st, nil
}

// openBeneath opens a regular file. Its error says whether the job or this worker is at fault.
func openBeneath(dir *rootfs.Root, name string) (*rootfs.File, error) {
	f, err := dir.Open(name)
	switch rootfs.CauseOf(err) {
	case rootfs.None:
		return f, nil
	case rootfs.Missing:
		if strings.HasPrefix(name, pipeline.SpoolDir+"/") && dir.CheckDir(pipeline.SpoolDir) != nil {
			// A watched folder contains a spool. This folder does not, so the watched one is not
			// mounted here.
			return nil, fmt.Errorf("%w: %s has no folder %s", pipeline.ErrUnreachable, dir.Name(), pipeline.SpoolDir)
		}
		return nil, fmt.Errorf("%w: %s", pipeline.ErrContentMissing, name)
	case rootfs.Outside, rootfs.Special:
		return nil, fmt.Errorf("%w: %w", pipeline.ErrOutside, err)
	case rootfs.NoRoot, rootfs.Denied:
		return nil, fmt.Errorf("%w: %w", pipeline.ErrUnreachable, err)
	}

	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) {
		return nil, fmt.Errorf("%w: %w", pipeline.ErrUnreachable, err)
	}

	return nil, fmt.Errorf("%w: %w", pipeline.ErrUnreadable, err)
}
