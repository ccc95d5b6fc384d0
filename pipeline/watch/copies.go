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
	spool   *rootfs.Root
	minFree int64

	mu    sync.Mutex
	made  map[string]copied // by the id of the file
	total int64             // bytes
}

type copied struct {
	size int64
	kept string // where it is in the spool when it is finished; "" until then
}

func newCopies(spool *rootfs.Root, minFree int64) *copies {
	return &copies{spool: spool, minFree: minFree, made: map[string]copied{}}
}

// reserve sets space aside for a copy, or says why there is none. A single copy is always made,
// if the disk has room. The space is given back by drop, or when a kept copy is removed.
func (c *copies) reserve(id string, size int64) error {
	info, err := c.spool.FileSystem()
	if err != nil {
		return err
	}
	if info.Full(c.minFree + size) {
		return fmt.Errorf("copy a hard-linked file of %d bytes: no space left above min_free; free some", size)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(id)
	share := info.Total / copyShare
	if info.Total > 0 && c.total > 0 && c.total+size > share {
		c.forgetLocked()
	}
	if info.Total > 0 && c.total > 0 && c.total+size > share {
		return fmt.Errorf("copy a hard-linked file of %d bytes: copies fill their share of the disk (%d bytes); "+
			`remove old ones from .backburn/done, or set hardlinks = "reject" or "take"`, size, share)
	}
	c.made[id] = copied{size: size}
	c.total += size

	return nil
}

// keep notes where a finished copy is kept.
func (c *copies) keep(id, rel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if made, ok := c.made[id]; ok {
		made.kept = rel
		c.made[id] = made
	}
}

// drop gives back the space of a copy that is no more.
func (c *copies) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(id)
}

func (c *copies) dropLocked(id string) {
	c.total -= c.made[id].size
	delete(c.made, id)
}

// forgetLocked gives back the space of kept copies that somebody removed.
func (c *copies) forgetLocked() {
	for id, made := range c.made {
		if made.kept == "" {
			continue
		}
		if _, err := c.spool.Lstat(made.kept); rootfs.IsGone(err) {
			c.dropLocked(id)
		}
	}
}

// rename notes that a copy goes on under another id.
func (c *copies) rename(from, to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if made, ok := c.made[from]; ok {
		delete(c.made, from)
		c.made[to] = made
	}
}
