package watch

import (
	"fmt"
	"sync"

	"backburn/internal/rootfs"
)

// copyShare is the part of a disk that copies of hard-linked files may fill: a thousand names of
// one file cost next to nothing, a thousand copies do.
const copyShare = 10

// copies bounds the space that copies of hard-linked files take: those that are claimed, and
// those that were made by this process and are kept. Safe for concurrent use.
type copies struct {
	root    *rootfs.Root
	minFree int64

	mu    sync.Mutex
	sizes map[string]int64 // by the id of the file
	total int64
}

func newCopies(root *rootfs.Root, minFree int64) *copies {
	return &copies{root: root, minFree: minFree, sizes: map[string]int64{}}
}

// reserve sets space aside for a copy, or says why there is none. The space is given back by
// release or, when the copy leaves the spool, by drop.
func (c *copies) reserve(id string, size int64) (release func(), err error) {
	info, err := c.root.FileSystem()
	if err != nil {
		return nil, err
	}
	if info.Full(c.minFree + size) {
		return nil, fmt.Errorf("copy a hard-linked file of %d bytes: no space left above min_free; free some", size)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	others := c.total - c.sizes[id]
	if share := info.Total / copyShare; info.Total > 0 && others > 0 && others+size > share {
		return nil, fmt.Errorf("copy a hard-linked file of %d bytes: copies fill their share of the disk (%d bytes); "+
			`remove old ones from .backburn/done, or set hardlinks = "reject" or "take"`, size, share)
	}
	c.total += size - c.sizes[id]
	c.sizes[id] = size

	return func() { c.drop(id) }, nil
}

// drop gives back the space of a copy that is no more.
func (c *copies) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total -= c.sizes[id]
	delete(c.sizes, id)
}

// rename notes that a copy goes on under another id.
func (c *copies) rename(from, to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if size, ok := c.sizes[from]; ok {
		delete(c.sizes, from)
		c.sizes[to] = size
	}
}
