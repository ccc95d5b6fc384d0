package watch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"backburn/pipeline"
)

// longerThanAny makes any name too long for any file system.
const longerThanAny = "................................................................................................................................................................................................................................................................"

// maxTags bounds the tags in memory.
const maxTags = 4096

// paths remembers where claimed files were found. Below pathsDir there is one small file
// per folder, named by the folder's tag and holding its name, and one per claimed file whose
// name was too long, named by its id. Several watchers can share them. Safe for concurrent
// use.
type paths struct {
	root *root
	mu   sync.Mutex
	tags map[string]string // of folders
}

func newPaths(r *root) *paths { return &paths{root: r, tags: map[string]string{}} }

// tag returns the tag of a folder ("" is the watched one). A new one is durable when it is
// returned.
func (p *paths) tag(dir string) (string, error) {
	if dir == "" {
		return rootTag, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if tag, ok := p.tags[dir]; ok {
		if _, err := p.root.lstat(pathsDir + "/" + tag); err == nil { // no janitor was there
			return tag, nil
		}
	}
	for probe := 0; ; probe++ {
		tag := dirTag(dir, probe)
		if tag == rootTag {
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
func (p *paths) record(id, rel string) error { return p.write(id, rel) }

// forget removes what record wrote.
func (p *paths) forget(id string) error {
	err := p.root.remove(pathsDir + "/" + id)
	if isGone(err) {
		return nil
	}
	return err
}

// found returns where a claimed file was found.
func (p *paths) found(id, base string, whole bool) (string, error) {
	if !whole {
		return p.read(id)
	}
	if idTag(id) == rootTag {
		return base, nil
	}
	dir, err := p.read(idTag(id))
	if err != nil {
		return "", err
	}
	return path.Join(dir, base), nil
}

// drop removes the record of a folder that is gone, and of which nothing is claimed.
func (p *paths) drop(tag, dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tags, dir)
	return p.forget(tag)
}

// read returns what a record holds.
func (p *paths) read(name string) (string, error) {
	f, err := p.root.open(pathsDir + "/" + name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
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
func (p *paths) write(name, content string) error {
	return writeFile(p.root, pathsDir+"/"+name, []byte(content), false)
}
