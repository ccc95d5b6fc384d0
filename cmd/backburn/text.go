package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"backburn/internal/config"
)

// orDash returns s, or a dash if s is empty.
func orDash(s string) string { return cmp.Or(s, "-") }

// texts returns the names of typed constants.
func texts[T ~string](names []T) []string {
	var all []string
	for _, name := range names {
		all = append(all, string(name))
	}

	return all
}

// shortHash returns the beginning of a hash.
func shortHash(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return orDash(hash)
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

// clip returns the beginning of a text.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// formatTime formats a time for people: local, and with the date if it is not today.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	t = t.Local()
	if t.Format(time.DateOnly) == time.Now().Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}

	return t.Format(time.DateTime)
}

// formatAge formats how long ago a time is.
func formatAge(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return formatDuration(time.Since(t)) + " ago"
}

// formatDuration formats a duration in its two largest units.
func formatDuration(d time.Duration) string {
	d = max(d, 0)
	day := 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}

	return fmt.Sprintf("%ds", d/time.Second)
}

// plural returns "1 file" or "3 files".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printJSON writes each value as one line.
func printJSON[T any](w io.Writer, values ...T) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, v := range values {
		if err := e.Encode(v); err != nil {
			return err
		}
	}

	return nil
}

// durationFlag is a flag for a duration that may be given in days. Its default is the duration that
// it points to.
type durationFlag struct{ d *time.Duration }

func (f durationFlag) Set(s string) error {
	d, err := config.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("expected %w, got %q", err, s)
	}
	*f.d = d

	return nil
}

func (f durationFlag) String() string {
	if f.d == nil || *f.d == 0 {
		return ""
	}

	return config.FormatDuration(*f.d)
}

func (f durationFlag) Type() string { return "duration" }
