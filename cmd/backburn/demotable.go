package main

import (
	"fmt"
	"path"
	"time"

	"github.com/mattn/go-runewidth"

	"backburn/results"
)

// table prints what became of each file.
func (d *demo) table(final map[string]results.Event) {
	rows := [][]string{{"FILE", "SIZE", "SHA-256", "VERDICT", "BASIS", "TIME"}}
	count := map[string]int{}
	for _, s := range d.samples {
		e := final[s.name]
		verdict, basis := e.Data.Verdict, string(e.Data.Basis)
		if e.Data.Error != nil {
			verdict, basis = "failed: "+string(e.Data.Error.Reason), "-"
		}
		count[verdict]++
		sum := "-"
		if len(e.Data.SHA256) >= 12 {
			sum = e.Data.SHA256[:12]
		}
		rows = append(rows, []string{
			path.Base(s.name), humanSize(e.Data.Size), sum, verdict, basis,
			e.Time.Sub(d.dropped[s.name]).Round(100 * time.Millisecond).String(),
		})
	}
	columns(rows, func(line string) { fmt.Fprintln(d.out, line) })
}

// columns aligns rows of text by what they take on a terminal.
func columns(rows [][]string, line func(string)) {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], runewidth.StringWidth(c))
		}
	}
	for _, r := range rows {
		text := ""
		for i, c := range r {
			if i < len(r)-1 {
				c = runewidth.FillRight(c, width[i]+2)
			}
			text += c
		}
		line(text)
	}
}

// humanSize is a size for people.
func humanSize(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
