package depguard_test

import (
	"go/types"
	"testing"
)

// maxMethods is the most methods of a type. A type with more has several ideas: cut it, and give
// each part the state that belongs to it.
const maxMethods = 29

// largeTypes are the types that still have more, with their number, which may only fall.
var largeTypes = map[string]int{
	"backburn/auth.Source":                    43,
	"backburn/internal/app.Node":              32,
	"backburn/internal/config.collector":      32,
	"backburn/wildfire.Client":                36,
	"backburn/wildfire/wildfiretest.Server":   39,
	"backburn/wildfire/wildfiretest.exchange": 45,
}

// TestTypesAreSmall limits the methods of each type, those of embedded types left out.
func TestTypesAreSmall(t *testing.T) {
	t.Parallel()
	left := len(largeTypes)
	for _, p := range load(t) {
		scope := p.Types.Scope()
		for _, name := range scope.Names() {
			named, ok := scope.Lookup(name).Type().(*types.Named)
			if !ok || named.Obj() != scope.Lookup(name) {
				continue
			}

			n := named.NumMethods()
			most, large := largeTypes[p.PkgPath+"."+name]
			switch {
			case large && n == most:
				left--
			case large:
				t.Errorf("%s.%s has %d methods, and the list of large types says %d", p.PkgPath, name, n, most)
			case n > maxMethods:
				t.Errorf("%s.%s has %d methods, and %d are allowed: cut it", p.PkgPath, name, n, maxMethods)
			}
		}
	}

	if left > 0 && !t.Failed() {
		t.Errorf("%d of the large types were not found", left)
	}
}
