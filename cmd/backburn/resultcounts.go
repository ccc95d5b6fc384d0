package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"backburn/internal/cli"
	"backburn/results"
)

// resultCounts counts the results of files and links.
type resultCounts struct {
	files  int
	links  int
	counts map[string]int // by verdict, "failed", or "without a verdict"
}

// undecided is the key of the count of entries without a final event.
const undecided = "without a verdict"

// countOrder has the keys of the counts, in the order in which they are printed.
var countOrder = []string{"benign", "malware", "phishing", "c2", "grayware", "unrecognised", "failed", undecided}

func (t *resultCounts) addEvent(e results.Event) {
	switch {
	case !e.Type.Final():
	case e.Type == results.Failed:
		t.add("failed", e.Data.URL != "")
	default:
		t.add(e.Data.Verdict, e.Data.URL != "")
	}
}

func (t *resultCounts) add(what string, link bool) {
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[what]++
	if link {
		t.links++
	} else {
		t.files++
	}
}

// summary returns all counts in one line, or "" if there are none.
func (t *resultCounts) summary(p textWriter) string {
	var totals []string
	if t.files > 0 {
		totals = append(totals, plural(t.files, "file"))
	}
	if t.links > 0 {
		totals = append(totals, plural(t.links, "link"))
	}
	if len(totals) == 0 {
		return ""
	}

	kinds := slices.Clone(countOrder)
	for _, what := range slices.Sorted(maps.Keys(t.counts)) {
		if !slices.Contains(kinds, what) {
			kinds = append(kinds, what) // a verdict from a later version
		}
	}

	var parts []string
	for _, what := range kinds {
		n := t.counts[what]
		if n == 0 {
			continue
		}

		_, tone := styleVerdict(what)
		if what == "failed" {
			tone = notable
		}

		parts = append(parts, p.styled(tone, fmt.Sprintf("%d %s", n, cli.Printable(what))))
	}

	return strings.Join(totals, " and ") + ": " + strings.Join(parts, ", ")
}
