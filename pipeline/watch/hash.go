package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"runtime"
	"sync"

	"github.com/rs/zerolog"

	"backburn/internal/guard"
	"backburn/internal/rootfs"
	"backburn/pipeline"
)

// errUnsettled means that a file cannot be published or disposed of yet: a process is writing to
// it, it has not been unchanged for long enough, or it changed while it was being read.
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
