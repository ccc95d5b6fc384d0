package config

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"backburn/internal/apart"
	"backburn/pipeline"
)

// Own lists the files and folders that are Backburn's own: what the keys with the tag "own"
// name, the token and the spools whose places follow from other keys, and the configuration
// itself. None of them may be taken from a watched folder, or leave this machine.
func (c Config) Own() []apart.Own {
	var own []apart.Own
	if c.origin.file != "" {
		own = append(own, apart.Own{Key: "--config", Path: c.origin.file})
	}
	if c.NATS.Embedded.Enabled {
		own = append(own, apart.Own{Key: "nats.embedded.store_dir", Path: c.NATS.Embedded.TokenFile()})
	}
	for i, w := range c.Watch {
		spool := filepath.Join(w.Path, pipeline.SpoolDir)
		// One that is no link is where its folder is, and overlaps as that does.
		if info, err := os.Lstat(spool); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			own = append(own, apart.Own{Key: join(element("watch", i), "path"), Path: spool})
		}
	}

	return append(own, ownIn("", reflect.ValueOf(c))...)
}

// ownIn lists what the tagged keys of a table name.
func ownIn(path string, v reflect.Value) []apart.Own {
	var own []apart.Own
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			own = append(own, ownIn(element(path, i), v.Index(i))...)
		}
	case reflect.Map:
		for _, name := range slices.Sorted(maps.Keys(stringKeys(v))) {
			own = append(own, ownIn(join(path, name), v.MapIndex(reflect.ValueOf(name)))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			tag := v.Type().Field(i).Tag
			key, name := tag.Get("toml"), ""
			if tag.Get("own") != "" {
				name = ownPath(v.Field(i).String())
			}
			switch {
			case key == "":
			case name != "":
				own = append(own, apart.Own{Key: join(path, key), Path: name})
			default:
				own = append(own, ownIn(join(path, key), v.Field(i))...)
			}
		}
	}

	return own
}

func stringKeys(v reflect.Value) map[string]bool {
	names := map[string]bool{}
	for _, k := range v.MapKeys() {
		names[k.String()] = true
	}

	return names
}

// ownPath is the path that a value names; "" where it names none.
func ownPath(value string) string {
	switch value {
	case AfterKeep, AfterDelete, AfterRestore:
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

// watchesApart checks that no watched folder overlaps with another one, or with anything that
// is Backburn's own.
func (k *fileChecker) watchesApart(c Config) {
	places, own := apart.Now(), c.Own()
	for i, w := range c.Watch {
		at := element("watch", i)
		for j, other := range c.Watch[:i] {
			if says := overlap(places.Relation(w.Path, other.Path)); says != "" {
				k.add(join(at, "path"), "%s the folder of watch[%d], %s: files would be taken twice", says, j, quote(other.Path))
			}
		}
		for _, o := range own {
			if !belongs(places, at, w, o) {
				k.overlaps(places, at, w.Path, o)
			}
		}
	}
}

// belongs reports whether something of Backburn's own has its place in the folder: what is kept
// in the spool.
func belongs(places apart.Places, at string, w Watch, o apart.Own) bool {
	spool := filepath.Join(w.Path, pipeline.SpoolDir)
	if o.Key != join(at, "state_dir") {
		return false
	}
	r := places.Relation(spool, o.Path)

	return r == apart.Same || r == apart.Contains
}

func (k *fileChecker) overlaps(places apart.Places, at, folder string, o apart.Own) {
	r := places.Relation(folder, o.Path)
	switch {
	case r == apart.Apart:
	case strings.HasPrefix(o.Key, at+".after.") && r != apart.Inside:
		k.addBeside(o.Key, join(at, "path"), "leads into the watched folder %s, where files would be taken again: name a folder outside it", quote(folder))
	default:
		k.addBeside(join(at, "path"), o.Key, "%s %s (%s), which is Backburn's own: keep the two apart", overlap(r), quote(o.Path), o.Key)
	}
}

// addBeside adds a problem of two keys. It is shown where the file sets the key or else, since
// one of them was set, the other.
func (c *checker) addBeside(key, other, format string, args ...any) {
	at, set := c.origin.places[key]
	if !set {
		at = c.origin.places.at(other)
	}
	c.addAt(at, key, format, args...)
}

// rootsApart checks that no path that a job names can lead to what is Backburn's own. Spools
// and what became of files are what such a root is for.
func (k *fileChecker) rootsApart(c Config) {
	places := apart.Now()
	own := slices.DeleteFunc(c.Own(), func(o apart.Own) bool { return strings.HasPrefix(o.Key, "watch[") })
	for _, source := range slices.Sorted(maps.Keys(c.Worker.Roots)) {
		for _, o := range own {
			if says := overlap(places.Relation(c.Worker.Roots[source], o.Path)); says != "" {
				k.add(join("worker.roots", source), "%s %s (%s), which is Backburn's own: keep the two apart", says, quote(o.Path), o.Key)
			}
		}
	}
}

// overlap says how a folder overlaps with something; "" where it does not.
func overlap(r apart.Relation) string {
	return map[apart.Relation]string{apart.Same: "is", apart.Contains: "contains", apart.Inside: "is inside"}[r]
}
