package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"backburn/internal/app"
	"backburn/internal/cli"
)

// queuedBySource counts the queued jobs of each source over all lanes.
func queuedBySource(st app.Status) map[string]int {
	by := map[string]int{}
	for _, lane := range st.Lanes {
		for source, n := range lane.By {
			by[source] += n
		}
	}

	return by
}

// maxSourcesShown is how many sources are listed; those with the most jobs come first.
const maxSourcesShown = 10

// printSources prints the share of each source.
func printSources(w textWriter, what string, by map[string]int) {
	if len(by) == 0 {
		return
	}

	sources := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(by[b], by[a]), strings.Compare(a, b))
	})

	var parts []string
	for i, source := range sources {
		if i == maxSourcesShown {
			parts = append(parts, fmt.Sprintf("and %d more sources", len(sources)-i))
			break
		}

		parts = append(parts, fmt.Sprintf("%s %d", cli.Printable(source), by[source]))
	}

	fmt.Fprintln(w)
	w.paragraph(plain, what+" by source: "+strings.Join(parts, ", "))
}
