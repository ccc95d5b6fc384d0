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

// maxTags bounds the tags in memory.
const maxTags = 4096

// maxPath is the size of a record at most, in bytes.
const maxPath = 1 << 20

// Paths remembers where claimed files were found. Below pathsDir there is one small file
// per folder, named by the folder's tag and holding its name, and one per claimed file whose
// name was too long, named by its id. Several watchers can share them. Safe for concurrent
// use.
type Paths struct {
	root *rootfs.Root
	mu   sync.Mutex
	tags map[string]string // of folders
}

func newPaths(r *rootfs.Root) *Paths { return &Paths{root: r, tags: map[string]string{}} }

// Tag returns the tag of a folder ("" is the watched one). A new one is durable when it is
// returned.
func (p *Paths) Tag(dir string) (string, error) {
	if dir == "" {
		return RootTag, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if tag, ok := p.tags[dir]; ok {
		if _, err := p.root.Lstat(pathsDir + "/" + tag); err == nil { // no janitor was there
			return tag, nil
		}
	}
	for probe := 0; ; probe++ {
		tag := dirTag(dir, probe)
		if tag == RootTag {
			continue
		}
		have, err := p.read(tag)
		if errors.Is(err, fs.ErrNotExist) {
			if err = p.write(tag, dir); errors.Is(err, fs.ErrExist) {
				have, err = p.read(tag) // another watcher was first
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

// record notes the whole path of one claimed file, durably.
func (p *Paths) record(id, rel string) error { return p.write(id, rel) }

// Forget removes what record wrote.
func (p *Paths) Forget(id string) error {
	err := p.root.Remove(pathsDir + "/" + id)
	if rootfs.IsGone(err) {
		return nil
	}
	return err
}

// Found returns where a claimed file was found.
func (p *Paths) Found(id, base string, whole bool) (string, error) {
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

// drop removes the record of a folder that is gone, and of which nothing is claimed.
func (p *Paths) drop(tag, dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tags, dir)
	return p.Forget(tag)
}

// read returns what a record holds.
func (p *Paths) read(name string) (string, error) {
	b, err := p.root.ReadFile(pathsDir+"/"+name, maxPath)
	if err != nil {
		return "", err
	}

	rel := string(b)
	if text, _ := pipeline.Name(rel); !fs.ValidPath(text) || rel == "." {
		return "", fmt.Errorf("%s/%s does not hold a name", pathsDir, name)
	}
	return rel, nil
}

// write makes a record, durably and all at once. It fails with fs.ErrExist if there is one.
func (p *Paths) write(name, content string) error {
	return p.root.WriteFile(pathsDir+"/"+name, []byte(content), rootfs.Write{
		Temp: tmpDir + "/" + NewID(time.Now(), RootTag),
		Keep: true,
	})
}
