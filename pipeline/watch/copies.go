package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"backburn/internal/rootfs"
)

// copyShare limits copies of hard-linked files to this fraction of the disk (1/10). A thousand
// names of one file need almost no space, but a thousand copies need a lot.
const copyShare = 10

// copies limits the space used by the copies of hard-linked files that this session has made: those
// that are still claimed, and those that are kept in spool.Done. Safe for concurrent use.
type copies struct {
	spool     *rootfs.Root
	minFree   int64
	isClaimed func(id string) bool // whether a file is claimed and unfinished

	mu    sync.Mutex
	made  map[string]copyInfo // by the ID of the file
	total int64               // bytes
}

type copyInfo struct {
	size     int64
	keptPath string // path in the spool once finished; "" before
}

func newCopies(spool *rootfs.Root, minFree int64, isClaimed func(id string) bool) *copies {
	return &copies{
		spool:     spool,
		minFree:   minFree,
		isClaimed: isClaimed,
		made:      map[string]copyInfo{},
	}
}

// reserve reserves space for a copy, or returns an error that says why it cannot. The first copy is
// always allowed if the disk has room. drop releases the space; it is also released when somebody
// removes a copy, or another watcher finishes it.
func (c *copies) reserve(id string, size int64) error {
	info, err := c.spool.FileSystem()
	if err != nil {
		return err
	}
	if info.Full(c.minFree + size) {
		return fmt.Errorf("copy a hard-linked file of %d bytes: not enough free space for it and for min_free; free some space", size)
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	c.dropLocked(id)
	share := info.Total / copyShare
	if info.Total > 0 && c.total > 0 && c.total+size > share {
		c.pruneLocked()
	}
	if info.Total > 0 && c.total > 0 && c.total+size > share {
		return fmt.Errorf("copy a hard-linked file of %d bytes: copies already use their share of the disk (%d bytes); "+
			`remove old ones from .backburn/done, or set hardlinks = "reject" or "take"`, size, share)
	}
	c.made[id] = copyInfo{size: size}
	c.total += size

	return nil
}

// keep records where a finished copy is kept.
func (c *copies) keep(id, rel string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if made, ok := c.made[id]; ok {
		made.keptPath = rel
		c.made[id] = made
	}
}

// drop releases the space of a copy that no longer exists.
func (c *copies) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(id)
}

func (c *copies) dropLocked(id string) {
	c.total -= c.made[id].size
	delete(c.made, id)
}

// pruneLocked releases the space of copies that are no longer claimed and were not kept, and of
// kept copies that somebody has removed. The caller holds mu.
func (c *copies) pruneLocked() {
	for id, made := range c.made {
		gone := !c.isClaimed(id)
		if made.keptPath != "" {
			_, err := c.spool.Lstat(made.keptPath)
			gone = rootfs.IsGone(err)
		}
		if gone {
			c.dropLocked(id)
		}
	}
}

// rename records that a copy has a new ID.
func (c *copies) rename(from, to string) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if made, ok := c.made[from]; ok {
		delete(c.made, from)
		c.made[to] = made
	}
}

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
