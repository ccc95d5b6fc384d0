package config

import (
	"fmt"
	"strings"
)

// suggest returns `; did you mean "x"?` for the candidate nearest to name, or "" if none is near
// enough.
func suggest(name string, candidates []string) string {
	best, least := "", len(name)/3+2
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), c); d < least {
			best, least = c, d
		}
	}

	if best == "" {
		return ""
	}

	return fmt.Sprintf("; did you mean %q?", best)
}

// distance returns the Damerau-Levenshtein distance (optimal string alignment): the number of
// bytes to insert, delete, replace, or swap with their neighbor.
func distance(a, b string) int {
	const long = 64 // nothing here has names of that length
	if len(a) > long || len(b) > long {
		return long
	}

	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}

	for j := range rows[0] {
		rows[0][j] = j
	}

	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}

			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}

	return rows[len(a)][len(b)]
}
