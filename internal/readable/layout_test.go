package readable_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxColumns = 100 // of a comment, with four columns for a tab
	maxValues  = 2   // of an assignment
	maxFields  = 4   // of a literal on one line
)

// layout lists what makes a file hard to read at a glance. Rows of a table, literals without a
// type of their own, may be long: they are read down, not across.
func layout(path string, text []byte) ([]string, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, path, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var faults []string
	fault := func(pos token.Pos, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s:%d: ", path, fset.Position(pos).Line)+fmt.Sprintf(format, args...))
	}

	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if len(n.Rhs) > maxValues {
				fault(n.Pos(), "%d values in one assignment: give each a line", len(n.Rhs))
			}
		case *ast.ValueSpec:
			if len(n.Values) > maxValues {
				fault(n.Pos(), "%d values in one declaration: give each a line", len(n.Values))
			}
		case *ast.CompositeLit:
			if fields(n) > maxFields && fset.Position(n.Lbrace).Line == fset.Position(n.Rbrace).Line {
				fault(n.Pos(), "%d fields on one line: give each a line", fields(n))
			}
		}

		return true
	})

	lines := strings.Split(string(text), "\n")
	for _, group := range parsed.Comments {
		for _, c := range group.List {
			line := lines[fset.Position(c.Pos()).Line-1]
			if !strings.HasPrefix(strings.TrimSpace(line), "//") || strings.HasPrefix(c.Text, "//go:") {
				continue
			}
			if n := utf8.RuneCountInString(line) + 3*strings.Count(line, "\t"); n > maxColumns && strings.Contains(strings.TrimSpace(c.Text[2:]), " ") {
				fault(c.Pos(), "a comment of %d columns: wrap it at %d", n, maxColumns)
			}
		}
	}

	return faults, nil
}

// fields counts the named fields of a struct literal that has a type of its own.
func fields(c *ast.CompositeLit) int {
	switch c.Type.(type) {
	case nil, *ast.MapType, *ast.ArrayType:
		return 0
	}
	if len(c.Elts) == 0 {
		return 0
	}
	if _, named := c.Elts[0].(*ast.KeyValueExpr); !named {
		return 0
	}

	return len(c.Elts)
}

func TestLayout(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, f := range files(t, ".go") {
		faults, err := layout(f.path, f.text)
		if err != nil {
			t.Error(err)
		}
		if unmended[f.path] {
			seen++
			if len(faults) == 0 {
				t.Errorf("%s is mended: take it off the list", f.path)
			}

			continue
		}
		for _, fault := range faults {
			t.Error(fault)
		}
	}
	if seen != len(unmended) {
		t.Errorf("%d files of the list are there, of %d", seen, len(unmended))
	}
}

// TestLayoutFindsFaults keeps the check itself honest.
func TestLayoutFindsFaults(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 20)
	for code, want := range map[string]int{
		"a, b := 1, 2":                             0,
		"a, b, c := f()":                           0,
		"a, b, c := 1, 2, 3":                       1,
		"var a, b, c = 1, 2, 3":                    1,
		"for i, n, m := 0, 1, 2; ; {\n}":           1,
		"_ = T{A: 1, B: 2, C: 3, D: 4}":            0,
		"_ = T{A: 1, B: 2, C: 3, D: 4, E: 5}":      1,
		"_ = T{A: 1, B: 2,\nC: 3, D: 4, E: 5}":     0,
		"_ = []T{{A: 1, B: 2, C: 3, D: 4, E: 5}}":  0,
		"_ = []int{1, 2, 3, 4, 5}":                 0,
		"// " + long:                               1,
		"x() // " + long:                           0,
		"// " + strings.ReplaceAll(long, " ", "-"): 0, // an address cannot be wrapped
	} {
		got, err := layout("x.go", []byte("package x\n\nfunc _() {\n\t"+code+"\n}\n"))
		if err != nil || len(got) != want {
			t.Errorf("%s: %q, %v; want %d faults", code, got, err, want)
		}
	}
}
