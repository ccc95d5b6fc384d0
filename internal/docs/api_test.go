package docs_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// public are the packages that other modules import.
var public = []string{"auth", "gateway", "results", "wildfire"}

// Every public package documents its guarantees, its stability and all exported names, and has a
// runnable example.
func TestPublicPackages(t *testing.T) {
	t.Parallel()
	for _, name := range public {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pkg := parsePackage(t, name)
			for _, part := range []string{"# What it guarantees", "# What it does not do", "# Stability"} {
				if !strings.Contains(pkg.Doc, part) {
					t.Errorf("the package comment has no part %q", part)
				}
			}

			runs := 0
			for _, e := range allExamples(pkg) {
				if e.Output != "" || e.EmptyOutput {
					runs++
				}
			}

			if runs == 0 {
				t.Error("no example runs: one has no // Output")
			}

			for _, what := range undocumented(pkg) {
				t.Errorf("%s is not documented", what)
			}
		})
	}
}

func parsePackage(t *testing.T, name string) *doc.Package {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", name, "*.go"))
	if err != nil {
		t.Fatal(err)
	}

	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, path := range paths {
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}

		parsed = append(parsed, f)
	}

	pkg, err := doc.NewFromFiles(fset, parsed, "backburn/"+name)
	if err != nil {
		t.Fatal(err)
	}

	return pkg
}

func allExamples(pkg *doc.Package) []*doc.Example {
	all := pkg.Examples
	for _, f := range pkg.Funcs {
		all = append(all, f.Examples...)
	}
	for _, typ := range pkg.Types {
		all = append(all, typ.Examples...)
		for _, m := range append(typ.Methods, typ.Funcs...) {
			all = append(all, m.Examples...)
		}
	}

	return all
}

// undocumented lists exported names without a comment. A comment on a group of constants or
// variables, or on a name in it, counts for the names below it.
func undocumented(pkg *doc.Package) []string {
	var missing []string
	values := func(list []*doc.Value) {
		for _, v := range list {
			commented := v.Doc != ""
			for _, spec := range v.Decl.Specs {
				spec := spec.(*ast.ValueSpec)
				commented = commented || spec.Doc != nil || spec.Comment != nil
				if !commented && spec.Names[0].IsExported() {
					missing = append(missing, spec.Names[0].Name)
				}
			}
		}
	}
	funcs := func(list []*doc.Func) {
		for _, f := range list {
			if f.Doc == "" {
				missing = append(missing, strings.TrimPrefix(f.Recv+"."+f.Name, "."))
			}
		}
	}

	values(pkg.Consts)
	values(pkg.Vars)
	funcs(pkg.Funcs)
	for _, typ := range pkg.Types {
		if typ.Doc == "" {
			missing = append(missing, typ.Name)
		}

		values(typ.Consts)
		values(typ.Vars)
		funcs(typ.Funcs)
		funcs(typ.Methods)
	}

	return missing
}
