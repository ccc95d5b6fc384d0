package depguard_test

import (
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestFilesReferDownward keeps the files of a package in layers: whoever reads one needs those
// below it, and never one that needs it in turn.
func TestFilesReferDownward(t *testing.T) {
	t.Parallel()
	for _, p := range load(t) {
		for _, e := range p.Errors {
			t.Error(e)
		}

		for _, files := range circles(references(p)) {
			t.Errorf("%s: these files refer to each other in a circle; move a declaration, or cut a type: %s",
				p.PkgPath, strings.Join(files, ", "))
		}
	}
}

// load loads the packages of the module once.
func load(t *testing.T) []*packages.Package {
	t.Helper()
	all, err := loadOnce()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 30 {
		t.Fatalf("only %d packages were found", len(all))
	}

	return all
}

var loadOnce = sync.OnceValues(func() ([]*packages.Package, error) {
	return packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes |
			packages.NeedTypesInfo | packages.NeedImports | packages.NeedExportFile,
	}, "backburn/...")
})

// references tells for each file of a package which others declare what it uses: functions,
// methods, types, constants and variables. A field counts as its type.
func references(p *packages.Package) map[string][]string {
	uses := map[string]map[string]bool{}
	for id, object := range p.TypesInfo.Uses {
		if object.Pkg() != p.Types || !declared(p, object) {
			continue
		}

		from := filepath.Base(p.Fset.Position(id.Pos()).Filename)
		to := filepath.Base(p.Fset.Position(object.Pos()).Filename)
		if from == to {
			continue
		}
		if uses[from] == nil {
			uses[from] = map[string]bool{}
		}
		uses[from][to] = true
	}

	files := map[string][]string{}
	for from, to := range uses {
		files[from] = slices.Sorted(maps.Keys(to))
	}

	return files
}

// declared reports whether an object is one of the package's own declarations, or a method of one.
func declared(p *packages.Package, object types.Object) bool {
	if object.Parent() == p.Types.Scope() {
		return true
	}
	f, ok := object.(*types.Func)

	return ok && f.Signature().Recv() != nil
}

// circles returns the groups of files that reach each other, by Tarjan's algorithm.
func circles(uses map[string][]string) [][]string {
	var found [][]string
	var stack []string
	index, low := map[string]int{}, map[string]int{}

	var visit func(file string)
	visit = func(file string) {
		index[file] = len(index) + 1
		low[file] = index[file]
		stack = append(stack, file)

		for _, next := range uses[file] {
			switch {
			case index[next] == 0:
				visit(next)
				low[file] = min(low[file], low[next])
			case slices.Contains(stack, next):
				low[file] = min(low[file], index[next])
			}
		}

		if low[file] != index[file] {
			return
		}
		at := slices.Index(stack, file)
		if group := slices.Clone(stack[at:]); len(group) > 1 {
			found = append(found, slices.Sorted(slices.Values(group)))
		}
		stack = stack[:at]
	}

	for _, file := range slices.Sorted(maps.Keys(uses)) {
		if index[file] == 0 {
			visit(file)
		}
	}

	return found
}

// TestCircles is there because a check that finds nothing proves nothing.
func TestCircles(t *testing.T) {
	t.Parallel()
	got := circles(map[string][]string{
		"a": {"b", "e"}, "b": {"c"}, "c": {"b", "d"}, "d": {}, "e": {"f"}, "f": {"g"}, "g": {"e", "d"},
	})
	want := [][]string{{"b", "c"}, {"e", "f", "g"}}
	if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("got %v, want %v", got, want)
	}
}
