package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/rs/zerolog"

	"backburn/internal/guard"
	"backburn/internal/rootfs"
	"backburn/pipeline"
)

// errUnsettled means that a file cannot be published yet: a process is writing to it, or wrote to
// it while it was being read.
var errUnsettled = errors.New("still being written")

// readBuffer is the size of one read in bytes.
const readBuffer = 256 << 10

// hashers hashes files, at most one for each processor at a time: more would gain nothing.
type hashers struct {
	slots    chan struct{}
	guard    *guard.Guard
	log      zerolog.Logger
	onHashed func() // called after each file; for tests
	buffers  sync.Pool
}

func newHashers(g *guard.Guard, log zerolog.Logger, hashed func()) *hashers {
	return &hashers{
		guard:    g,
		log:      log,
		onHashed: hashed,
		slots:    make(chan struct{}, runtime.GOMAXPROCS(0)),
		buffers:  sync.Pool{New: func() any { b := make([]byte, readBuffer); return &b }},
	}
}

// setHash reads f, which must be at its start, and sets its hash in job. It skips files over the
// size limit, whose contents nobody needs. If the contents hold a secret, the job is marked as not
// to be uploaded. It returns errUnsettled if the file changed meanwhile.
func (h *hashers) setHash(ctx context.Context, f *rootfs.File, before rootfs.State, maxSize int64, job *pipeline.Job) error {
	if before.Size > maxSize {
		return nil
	}

	scan := h.guard.Scan()
	sum, err := h.sum(ctx, f, before.Size, scan)
	if err != nil {
		return err
	}
	h.onHashed()
	if err := checkUnchanged(f, before); err != nil {
		return err
	}

	job.SHA256 = hex.EncodeToString(sum[:])
	if err := scan.Err(); err != nil {
		h.guard.Withheld()
		h.log.Error().Err(err).Str("path", job.Path).Msg("a file in the watched folder contains one of Backburn's own secrets; it is not uploaded")
		job.Withhold(err.Error())
	}

	return nil
}

// sum hashes a file of the given size from the current offset, and copies what it reads to tee.
func (h *hashers) sum(ctx context.Context, f *rootfs.File, size int64, tee io.Writer) (sum [sha256.Size]byte, err error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return sum, ctx.Err()
	}

	buf := h.buffers.Get().(*[]byte)
	defer h.buffers.Put(buf)

	sha := sha256.New()
	var n int64
	for {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		m, err := f.Read(*buf)
		sha.Write((*buf)[:m])
		_, _ = tee.Write((*buf)[:m]) // never fails
		if n += int64(m); n > size {
			return sum, errUnsettled // the file is growing
		}
		if errors.Is(err, io.EOF) || (err == nil && n == size && m < len(*buf)) {
			break
		}
		if err != nil {
			return sum, err
		}
	}
	if n != size {
		return sum, errUnsettled
	}
	sha.Sum(sum[:0])

	return sum, nil
}

// digest hashes a whole file.
func (h *hashers) digest(ctx context.Context, r *rootfs.Root, rel string) (sum [sha256.Size]byte, size int64, err error) {
	f, err := r.Open(rel)
	if err != nil {
		return sum, 0, err
	}
	defer f.Close()

	st, err := f.Stat()
	if err == nil {
		sum, err = h.sum(ctx, f, st.Size, io.Discard)
	}

	return sum, st.Size, err
}

// checkUnchanged returns errUnsettled if a file has changed, or is open for writing.
func checkUnchanged(f *rootfs.File, before rootfs.State) error {
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if !after.Same(before) {
		return errUnsettled
	}
	if w, _ := f.Writer(); w == rootfs.HasWriter {
		return errUnsettled
	}

	return nil
}

// storeContents puts a file's contents into the object store if Transfer is "object", and records
// the object in the job. open opens the file at its start.
func (f *folder) storeContents(ctx context.Context, st rootfs.State, job *pipeline.Job, open func() (*rootfs.File, error)) error {
	if f.cfg.Transfer != TransferObject {
		return nil
	}

	name := f.objectName(job.ID)
	job.Content = &pipeline.Content{Object: name}
	if st.Size > f.cfg.MaxFileSize {
		return nil // over the size limit: the job fails without its contents
	}

	err := f.w.objects.Put(ctx, name, st.Size, func() (io.ReadCloser, error) {
		in, err := open()
		if err != nil {
			return nil, err
		}
		return &verifiedReader{
			f:          in,
			ctx:        ctx,
			hash:       sha256.New(),
			remaining:  st.Size,
			wantSHA256: job.SHA256,
		}, nil
	})
	if err != nil {
		return fmt.Errorf("store contents: %w", err)
	}
	f.w.notifyStep("stored")

	return nil
}

// objectName returns the name of a job's contents in the object store. It contains the folder's ID,
// so that the janitors of two folders do not remove each other's objects.
func (f *folder) objectName(id string) string { return f.objectPrefix() + id }

func (f *folder) objectPrefix() string { return f.cfg.Source + "/" + f.id + "/" }

// verifiedReader reads a file and checks its length and hash. If they differ from what was
// expected, it returns an error instead of the last bytes.
type verifiedReader struct {
	f          *rootfs.File
	ctx        context.Context //nolint:containedctx // io.Reader has no context parameter
	hash       hash.Hash
	remaining  int64
	wantSHA256 string
}

func (v *verifiedReader) Read(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}

	n, err := v.f.Read(p)
	v.hash.Write(p[:n])
	if v.remaining -= int64(n); v.remaining < 0 || errors.Is(err, io.EOF) && v.remaining > 0 {
		return 0, errUnsettled
	}
	if v.remaining == 0 && hex.EncodeToString(v.hash.Sum(nil)) != v.wantSHA256 {
		return 0, errUnsettled
	}

	return n, err
}

func (v *verifiedReader) Close() error { return v.f.Close() }

// copyFile copies a file of the given size and keeps its holes, so that a sparse file does not fill
// the disk.
func copyFile(ctx context.Context, dst *os.File, src *rootfs.File, size int64) error {
	for at := int64(0); at < size; {
		from, to, err := src.NextData(at, size)
		if err != nil {
			return err
		}
		if _, err := dst.Seek(from, io.SeekStart); err != nil {
			return err
		}
		_, err = io.CopyN(dst, &contextReader{ctx, src}, to-from)
		if errors.Is(err, io.EOF) {
			return errUnsettled
		}
		if err != nil {
			return err
		}
		at = to
	}

	return dst.Truncate(size)
}

// contextReader stops reading when ctx ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // io.Reader has no context parameter
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}

	return c.r.Read(p)
}
