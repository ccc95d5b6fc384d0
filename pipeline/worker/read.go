package worker

import (
	"context"
	"fmt"
	"io"
	"sync"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// copyContents copies contents to a writer, up to a limit in bytes. It reads from opened; if opened
// is nil, it opens the contents itself.
func copyContents(ctx context.Context, to io.Writer, c queue.Contents, opened io.Reader, limit int64) (size int64, err error) {
	if opened == nil {
		r, err := c.Open()
		if err != nil {
			return 0, err
		}
		defer r.Close()
		opened = r
	}

	buf := copyBuffers.Get().(*[copyBufferSize]byte)
	defer copyBuffers.Put(buf)
	size, err = io.CopyBuffer(to, io.LimitReader(readerWithContext{ctx, opened}, limit), buf[:])
	if err != nil {
		return 0, fmt.Errorf("%w: %w", pipeline.ErrUnreadable, err)
	}

	return size, nil
}

const copyBufferSize = 32 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBufferSize]byte) }}

type readerWithContext struct {
	ctx context.Context //nolint:containedctx // io.Reader has no place for it
	r   io.Reader
}

func (r readerWithContext) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}

	return r.r.Read(p)
}

// headBuffer keeps the first bytes of what is written to it.
type headBuffer struct {
	left  int // how many more bytes to keep
	bytes []byte
}

// Write keeps as much as there is room for. It never fails.
func (b *headBuffer) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.bytes = append(b.bytes, p[:n]...)
	b.left -= n

	return len(p), nil
}
