package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"backburn/results"
)

// tally counts the results of files and links.
type tally struct {
	files  int
	links  int
	counts map[string]int // by verdict, "failed", or "without a verdict"
}

// undecided counts entries without a final event.
const undecided = "without a verdict"

// tallied are the counts in the order in which they are printed.
var tallied = []string{"benign", "malware", "phishing", "c2", "grayware", "unrecognised", "failed", undecided}

// event counts a final event.
func (t *tally) event(e results.Event) {
	switch {
	case !e.Type.Final():
	case e.Type == results.Failed:
		t.add("failed", e.Data.URL != "")
	default:
		t.add(e.Data.Verdict, e.Data.URL != "")
	}
}

func (t *tally) add(what string, link bool) {
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

// line returns all counts in one line, or "" if there are none.
func (t *tally) line(p paper) string {
	var of []string
	if t.files > 0 {
		of = append(of, plural(t.files, "file"))
	}
	if t.links > 0 {
		of = append(of, plural(t.links, "link"))
	}
	if len(of) == 0 {
		return ""
	}

	kinds := slices.Clone(tallied)
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

		_, tone := judged(what)
		if what == "failed" {
			tone = notable
		}

		parts = append(parts, p.say(tone, fmt.Sprintf("%d %s", n, printable(what))))
	}

	return strings.Join(of, " and ") + ": " + strings.Join(parts, ", ")
}
