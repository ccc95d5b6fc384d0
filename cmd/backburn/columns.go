package main

import (
	"fmt"

	"github.com/mattn/go-runewidth"
)

// alignColumns aligns rows of text by their width on a terminal.
func alignColumns(rows [][]string, line func(string)) {
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

// humanSize formats a size in bytes for people.
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
