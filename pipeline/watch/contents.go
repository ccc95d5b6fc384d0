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

	"backburn/pipeline"
)

// readBuffer is how much is read at once.
const readBuffer = 256 << 10

// hashers bounds how many files are hashed at once: there is nothing to gain beyond the
// processors.
type hashers struct {
	places  chan struct{}
	buffers sync.Pool
}

func newHashers() *hashers {
	return &hashers{
		places:  make(chan struct{}, runtime.GOMAXPROCS(0)),
		buffers: sync.Pool{New: func() any { b := make([]byte, readBuffer); return &b }},
	}
}

// hash fills in the hash of a file that is open at its start, unless it is too large for
// anybody to ask. It returns errUnsettled if the file was not the same before and after.
func (s *session) hash(ctx context.Context, f *file, before fileState, job *pipeline.Job) error {
	if before.size > s.w.cfg.MaxFileSize {
		return nil
	}
	sum, err := s.hashers.sum(ctx, f, before.size)
	if err != nil {
		return err
	}
	s.w.at("hashed")
	if err := unchanged(f, before); err != nil {
		return err
	}
	job.SHA256 = hex.EncodeToString(sum[:])
	return nil
}

// store puts the contents of a file into the object store, with Transfer = "object", and
// notes in the job where. open opens the file at its start.
func (s *session) store(ctx context.Context, st fileState, job *pipeline.Job, open func() (*file, error)) error {
	if s.w.cfg.Transfer != TransferObject {
		return nil
	}
	name := s.objectName(job.ID)
	job.Content = &pipeline.Content{Object: name}
	if st.size > s.w.cfg.MaxFileSize {
		return nil // nobody will ask for it: the size alone ends the job
	}
	err := s.w.objects.Put(ctx, name, st.size, func() (io.ReadCloser, error) {
		f, err := open()
		if err != nil {
			return nil, err
		}
		return &verified{f: f, ctx: ctx, sum: sha256.New(), left: st.size, want: job.SHA256}, nil
	})
	if err != nil {
		return fmt.Errorf("store contents: %w", err)
	}
	s.w.at("stored")
	return nil
}

// unchanged returns errUnsettled if a file is not as it was, or has a writer.
func unchanged(f *file, before fileState) error {
	after, err := f.stat()
	if err != nil {
		return err
	}
	if !after.same(before) {
		return errUnsettled
	}
	if state, _ := f.writer(); state == writerBusy {
		return errUnsettled
	}
	return nil
}

// sum hashes a file of the given size from where it stands.
func (h *hashers) sum(ctx context.Context, f *file, size int64) (sum [sha256.Size]byte, err error) {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
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
		if n += int64(m); n > size {
			return sum, errUnsettled // it grows as we read
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

// verified reads a file and fails at its end, before it hands out the last bytes, unless it is
// as long as it was and hashes as it did before.
type verified struct {
	f    *file
	ctx  context.Context
	sum  hash.Hash
	left int64
	want string
}

func (v *verified) Read(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := v.f.Read(p)
	v.sum.Write(p[:n])
	if v.left -= int64(n); v.left < 0 || errors.Is(err, io.EOF) && v.left > 0 {
		return 0, errUnsettled
	}
	if v.left == 0 && hex.EncodeToString(v.sum.Sum(nil)) != v.want {
		return 0, errUnsettled
	}
	return n, err
}

func (v *verified) Close() error { return v.f.Close() }

// copyFile copies a file of the given size, holes as holes: what is nothing on one disk must
// not fill another.
func copyFile(ctx context.Context, dst *os.File, src *file, size int64) error {
	for at := int64(0); at < size; {
		from, to, err := src.data(at, size)
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
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
