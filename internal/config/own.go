package config

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"backburn/auth"
	"backburn/internal/apart"
	"backburn/internal/guard"
	"backburn/internal/httpserver"
	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// Own lists Backburn's own files and folders: those in keys with the tag "own", the configuration
// file, the token of the embedded server, the spools that are links, and the files that the web
// configuration files name. None of them may be claimed in a watched folder. See Guarded
// for what must not be uploaded.
func (c Config) Own() []guard.Own {
	var own []guard.Own
	if c.origin != nil && c.origin.file != "" {
		own = append(own, guard.Own{Key: "--config", Path: c.origin.file})
	}

	if c.NATS.Embedded.Enabled {
		own = append(own, guard.Own{
			Key:   "nats.embedded.store_dir",
			Path:  c.NATS.Embedded.TokenFile(),
			Holds: guard.Secrets,
		})
	}

	for i, w := range c.Watch {
		spool := filepath.Join(w.Path, pipeline.SpoolDir)
		// A spool that is not a link is inside its folder, so it is checked with the folder.
		if info, err := os.Lstat(spool); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			own = append(own, guard.Own{Key: join(element("watch", i), "path"), Path: spool})
		}
	}

	for _, at := range []struct{ key, file string }{
		{"http.web_config_file", c.HTTP.WebConfigFile},
		{"api.web_config_file", c.API.WebConfigFile},
	} {
		w, err := httpserver.Inspect(at.file)
		if err != nil {
			continue // its problem is reported elsewhere
		}

		for _, name := range w.Files {
			own = append(own, guard.Own{Key: at.key, Path: name, Holds: guard.Keys})
		}
	}

	eachLeaf("", schema, reflect.ValueOf(c), func(at string, l *leaf, value reflect.Value) {
		tag := l.tag.Get("own")
		if tag == "" {
			return
		}
		if name := ownPath(value.String()); name != "" {
			own = append(own, guard.Own{Key: at, Path: name, Holds: holds(tag)})
		}
	})

	return own
}

// Guarded lists what must not be submitted or uploaded: the secrets that come from variables, and
// everything in Own except the folders for files after their verdict.
func (c Config) Guarded() []guard.Own {
	own := slices.DeleteFunc(c.Own(), func(o guard.Own) bool { return strings.Contains(o.Key, ".after.") })
	eachLeaf("", schema, reflect.ValueOf(c), func(at string, _ *leaf, value reflect.Value) {
		if secret, ok := reflect.TypeAssert[auth.Secret](value); ok && secret.IsSet() {
			own = append(own, guard.Own{Key: at, Value: secret.Reveal})
		}
	})

	return own
}

// eachLeaf calls do for every value of a table and its subtables.
func eachLeaf(path string, n *node, v reflect.Value, do func(at string, l *leaf, value reflect.Value)) {
	n.leaves(path, func(at string, l *leaf) {
		value := v.FieldByIndex(l.index)
		switch {
		case l.element == nil:
			do(at, l, value)
		case value.Kind() == reflect.Slice:
			for i := range value.Len() {
				eachLeaf(element(at, i), l.element, value.Index(i), do)
			}
		default:
			for _, name := range sortedKeys(value) {
				eachLeaf(join(at, name), l.element, value.MapIndex(reflect.ValueOf(name)), do)
			}
		}
	})
}

// holds returns the kind of secrets in a file, from the tag "own".
func holds(tag string) guard.Holds {
	if tag == "true" {
		return guard.Nothing
	}

	return guard.Holds(tag)
}

// ownPath returns the path in a value, or "" if it has none.
func ownPath(value string) string {
	switch value {
	case watch.AfterKeep, watch.AfterDelete, watch.AfterRestore:
		return ""
	}

	if name, ok := strings.CutPrefix(value, "cred:"); ok {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return ""
		}

		return filepath.Join(dir, name)
	}

	return value
}

// watchesApart checks that no watched folder overlaps with another one or with Backburn's own
// files.
func (p *collector) watchesApart(c Config) {
	places, own := apart.Now(), c.Own()
	for i, w := range c.Watch {
		at := element("watch", i)
		if w.Path == "" {
			continue // its problem is reported elsewhere
		}

		for j, other := range c.Watch[:i] {
			if relation := overlap(places.Relation(w.Path, other.Path)); relation != "" {
				p.add(join(at, "path"), "%s the folder of watch[%d], %s: files would be claimed twice", relation, j, quote(other.Path))
			}
		}

		for _, o := range own {
			if !belongs(places, at, w, o) {
				p.overlaps(places, at, w.Path, o)
			}
		}
	}
}

// belongs reports whether one of Backburn's own files may be in the watched folder: only the state
// folder of the same entry may, and only in its spool.
func belongs(places apart.Places, at string, w watch.Config, o guard.Own) bool {
	spool := filepath.Join(w.Path, pipeline.SpoolDir)
	if o.Key != join(at, "state_dir") {
		return false
	}
	r := places.Relation(spool, o.Path)

	return r == apart.Same || r == apart.Contains
}

func (p *collector) overlaps(places apart.Places, at, folder string, o guard.Own) {
	r := places.Relation(folder, o.Path)
	switch {
	case r == apart.Apart:
	case strings.HasPrefix(o.Key, at+".after.") && r != apart.Inside:
		p.addBeside(o.Key, join(at, "path"), "leads into the watched folder %s, where files would be claimed again: name a folder outside it", quote(folder))
	default:
		p.addBeside(join(at, "path"), o.Key, "%s %s (%s), which is Backburn's own: keep the two apart", overlap(r), quote(o.Path), o.Key)
	}
}

// addBeside adds a problem of two keys. Its position is that of the first key that the file sets.
func (p *collector) addBeside(key, other, format string, args ...any) {
	shown := key
	if !p.origin.set(key) {
		shown = other
	}
	p.addAt(shown, key, format, args...)
}

// rootsApart checks the root of each source; see rootApart.
func (p *collector) rootsApart(c Config) {
	for _, source := range slices.Sorted(maps.Keys(c.Pipeline.Roots)) {
		p.rootApart(c, join("worker.roots", source), c.Pipeline.Roots[source])
	}
}

// rootApart checks that no path below a root, from a job or a client, can refer to Backburn's own
// files. The folders of [[watch]] entries are allowed, because jobs refer to spools and to folders
// for finished files.
func (p *collector) rootApart(c Config, key, root string) {
	places := apart.Now()
	own := slices.DeleteFunc(c.Own(), func(o guard.Own) bool { return strings.HasPrefix(o.Key, "watch[") })
	for _, o := range own {
		if relation := overlap(places.Relation(root, o.Path)); relation != "" {
			p.add(key, "%s %s (%s), which is Backburn's own: keep the two apart", relation, quote(o.Path), o.Key)
		}
	}
}

// overlap says how a folder overlaps with a path; "" if it does not.
func overlap(r apart.Relation) string {
	return map[apart.Relation]string{apart.Same: "is", apart.Contains: "contains", apart.Inside: "is inside"}[r]
}
