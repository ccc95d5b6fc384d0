package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline"
)

// maxTags limits the tags in memory.
const maxTags = 4096

// maxRecord is the maximum size of a record in bytes.
const maxRecord = 1 << 20

// Paths records where claimed files were found. pathsDir has one small file for each folder, with
// the folder's tag as its name and the folder's path as its contents. It also has one file for each
// claimed file with a hashed name, with the job ID as its name. Several watchers can share them.
// Safe for concurrent use.
type Paths struct {
	root *rootfs.Root
	mu   sync.Mutex
	tags map[string]string // of folders
}

func newPaths(r *rootfs.Root) *Paths { return &Paths{root: r, tags: map[string]string{}} }

// Tag returns the tag of a folder; "." is the watched folder. The record of a new tag is durable
// when Tag returns.
func (p *Paths) Tag(dir string) (string, error) {
	if dir == "." {
		return RootTag, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if tag, ok := p.tags[dir]; ok {
		if _, err := p.root.Lstat(pathsDir + "/" + tag); err == nil { // not yet removed by another watcher's Sweep
			return tag, nil
		}
	}
	for attempt := 0; ; attempt++ {
		tag := dirTag(dir, attempt)
		if tag == RootTag {
			continue
		}
		have, err := p.read(tag)
		if errors.Is(err, fs.ErrNotExist) {
			if err = p.record(tag, dir); errors.Is(err, fs.ErrExist) {
				have, err = p.read(tag) // another watcher has just recorded it
			} else {
				have = dir
			}
		}
		if err != nil {
			return "", err
		}
		if have != dir {
			continue
		}
		if len(p.tags) >= maxTags {
			clear(p.tags)
		}
		p.tags[dir] = tag
		return tag, nil
	}
}

// Remove removes the record of a claimed file, if there is one.
func (p *Paths) Remove(id string) error { return removeIfExists(p.root, pathsDir+"/"+id) }

// Original returns where a claimed file was found.
func (p *Paths) Original(id, base string, whole bool) (string, error) {
	if !whole {
		return p.read(id)
	}
	if IDTag(id) == RootTag {
		return base, nil
	}
	dir, err := p.read(IDTag(id))
	if err != nil {
		return "", err
	}

	return path.Join(dir, base), nil
}

// drop removes the record of a folder. The folder must be gone, and no claimed file may come from
// it.
func (p *Paths) drop(tag, dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tags, dir)

	return p.Remove(tag)
}

// read returns the contents of a record.
func (p *Paths) read(name string) (string, error) {
	b, err := p.root.ReadFile(pathsDir+"/"+name, maxRecord)
	if err != nil {
		return "", err
	}

	rel := string(b)
	if text, _ := pipeline.EncodeName(rel); !fs.ValidPath(text) || rel == "." {
		return "", fmt.Errorf("%s/%s does not contain a path", pathsDir, name)
	}

	return rel, nil
}

// record creates a record, durably and atomically. name is a folder's tag or, with the whole path
// of one claimed file, its ID. It returns fs.ErrExist if the record exists.
func (p *Paths) record(name, rel string) error {
	return p.root.WriteFile(pathsDir+"/"+name, []byte(rel), rootfs.Write{
		Temp:      tmpDir + "/" + NewID(time.Now(), RootTag),
		NoReplace: true,
	})
}

func removeIfExists(r *rootfs.Root, rel string) error {
	if err := r.Remove(rel); !rootfs.IsGone(err) {
		return err
	}

	return nil
}
