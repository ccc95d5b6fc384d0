package results

import (
	"slices"
)

// Filter selects events. The zero value selects all.
type Filter struct {
	Types    []Type   // empty: every type
	Outcomes []string // verdicts, reasons, actions and "pending", see Event.Outcome; empty: all
	Sources  []string // empty: every source
}

// subjects returns the subjects by which the server filters.
func (f Filter) subjects(prefix string) []string {
	orWildcard := func(tokens []string) []string {
		if len(tokens) == 0 {
			return []string{"*"}
		}
		return tokens
	}
	var types []string
	for _, t := range f.Types {
		types = append(types, t.Name())
	}
	var out []string
	for _, t := range orWildcard(types) {
		for _, o := range orWildcard(f.Outcomes) {
			for _, s := range orWildcard(f.Sources) {
				out = append(out, prefix+".results."+t+"."+o+"."+s)
			}
		}
	}
	slices.Sort(out)

	return slices.Compact(out)
}
