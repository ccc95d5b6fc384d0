package settle

import (
	"errors"
	"path"
	"strings"
)

// glob is a compiled pattern. The most common forms are matched without path.Match, because every
// name of every scan is matched.
type glob struct {
	pattern string
	kind    globKind
	text    string // what to compare with, unless kind is globMatch
}

type globKind uint8

const (
	globMatch  globKind = iota // path.Match
	globExact                  // no wildcard
	globPrefix                 // "text*"
	globSuffix                 // "*text"
)

func compileGlob(pattern string) glob {
	const special = `*?[\`
	switch {
	case !strings.ContainsAny(pattern, special):
		return glob{pattern, globExact, pattern}
	case strings.HasPrefix(pattern, "*") && !strings.ContainsAny(pattern[1:], special):
		return glob{pattern, globSuffix, pattern[1:]}
	case strings.HasSuffix(pattern, "*") && !strings.ContainsAny(pattern[:len(pattern)-1], special):
		return glob{pattern, globPrefix, pattern[:len(pattern)-1]}
	}

	return glob{pattern, globMatch, ""}
}

// match reports whether the glob matches name: a name without slashes or, if the pattern contains a
// slash, a whole path.
func (g glob) match(name string) bool {
	switch g.kind {
	case globExact:
		return name == g.text
	case globPrefix:
		rest, ok := strings.CutPrefix(name, g.text)
		return ok && !strings.Contains(rest, "/") // a star never matches a slash
	case globSuffix:
		rest, ok := strings.CutSuffix(name, g.text)
		return ok && !strings.Contains(rest, "/")
	}
	ok, _ := path.Match(g.pattern, name) // watch.Config.Validate has checked the pattern

	return ok
}

// Globs is a list of patterns that match relative paths.
type Globs struct {
	names []glob // match one component
	paths []glob // contain a slash and match the whole path
	fold  bool   // ignore case
}

// CompileGlobs compiles patterns in the syntax of path.Match. One with a slash, even at its start,
// is for whole paths. With fold they ignore case.
func CompileGlobs(patterns []string, fold bool) Globs {
	l := Globs{fold: fold}
	for _, p := range patterns {
		if fold {
			p = strings.ToLower(p)
		}
		if strings.Contains(p, "/") {
			l.paths = append(l.paths, compileGlob(strings.TrimPrefix(p, "/")))
		} else {
			l.names = append(l.names, compileGlob(p))
		}
	}

	return l
}

// Match reports whether a pattern without a slash matches any component of rel, or a pattern with a
// slash matches the whole of rel, which is a relative path with slashes.
func (l Globs) Match(rel string) bool {
	if len(l.names) == 0 && len(l.paths) == 0 {
		return false
	}
	if l.fold {
		rel = strings.ToLower(rel)
	}
	for _, g := range l.paths {
		if g.match(rel) {
			return true
		}
	}
	for rest := rel; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		for _, g := range l.names {
			if g.match(name) {
				return true
			}
		}
	}

	return false
}

// DoneFile has the rule for the names of done files, which mark other files as complete. The method
// Is accepts a nil receiver, which means that there are no done files.
type DoneFile struct {
	before, after string // surround the name
	noExt         bool   // the name is used without its extension
	fixed         string // one name for all files of a folder; the other fields are empty
}

// Placeholders in the setting, longest first.
const (
	nameWithoutExt = "{name.noext}"
	wholeName      = "{name}"
)

// CheckDoneFile validates the setting for CompileDoneFile.
func CheckDoneFile(setting string) error {
	if setting == "" {
		return nil
	}
	d := CompileDoneFile(setting)
	switch {
	case strings.ContainsAny(setting, "/\x00"):
		return errors.New("a done file is in the same folder as its file, so the name cannot contain a slash")
	case strings.ContainsAny(d.before+d.after+d.fixed, "{}"):
		return errors.New("the only placeholders are {name} and {name.noext}, and only one of them may be used, once")
	case d.fixed == "" && d.before == "" && d.after == "": // also "{name.noext}": a file without an extension would mark itself
		return errors.New("a file cannot be its own done file")
	}

	return nil
}

// CompileDoneFile returns the DoneFile for a setting such as "{name}.done", "{name.noext}.ready",
// or one name for all files of a folder. It returns nil for "".
func CompileDoneFile(setting string) *DoneFile {
	if setting == "" {
		return nil
	}
	if before, after, ok := strings.Cut(setting, nameWithoutExt); ok {
		return &DoneFile{before: before, after: after, noExt: true}
	}
	if before, after, ok := strings.Cut(setting, wholeName); ok {
		return &DoneFile{before: before, after: after}
	}

	return &DoneFile{fixed: setting}
}

// Shared reports whether one done file marks all files of a folder.
func (d *DoneFile) Shared() bool { return d.fixed != "" }

// NameFor returns the name of the done file of rel.
func (d *DoneFile) NameFor(rel string) string {
	dir, base := path.Split(rel)
	if d.fixed != "" {
		return dir + d.fixed
	}
	if d.noExt {
		base = strings.TrimSuffix(base, path.Ext(base))
	}

	return dir + d.before + base + d.after
}

// Is reports whether rel has the name of a done file. marked is the file that it marks, or "" if
// the name does not say which.
func (d *DoneFile) Is(rel string) (ok bool, marked string) {
	if d == nil {
		return false, ""
	}
	dir, base := path.Split(rel)
	if d.fixed != "" {
		return base == d.fixed, ""
	}
	name, hasPrefix := strings.CutPrefix(base, d.before)
	name, hasSuffix := strings.CutSuffix(name, d.after)
	if !hasPrefix || !hasSuffix || name == "" {
		return false, ""
	}
	if d.noExt {
		return true, ""
	}

	return true, dir + name
}
