package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"backburn/internal/cli"
)

// textWriter is an output for people. It writes bytes unchanged, so callers must pass text from
// outside through cli.Printable first.
type textWriter struct {
	io.Writer
	screen cli.Screen
}

func stdoutWriter(tool *cli.App) textWriter { return textWriter{tool.Out, tool.Screen()} }

// stderrWriter returns the output for messages to the user.
func stderrWriter(tool *cli.App) textWriter { return textWriter{tool.Err, tool.MessageScreen()} }

// wideTerminal is the terminal width, in columns, from which no column is left out.
const wideTerminal = 120

// isNarrow reports whether the terminal is too narrow for all columns.
func isNarrow(p textWriter) bool { return p.screen.Width > 0 && p.screen.Width < wideTerminal }

// tone is how strongly text is emphasized.
type tone int

const (
	plain tone = iota
	dim
	strong
	notable // failed, degraded, spent: needs a person
	alarm   // malicious
)

// okTone returns plain for a good state and notable for a bad one.
func okTone(well bool) tone {
	if well {
		return plain
	}

	return notable
}

// toneSequences has the escape sequences of the tones (ECMA-48, section 8.3.117). Its colors are
// readable on light and dark backgrounds.
var toneSequences = map[tone]string{dim: "2", strong: "1", notable: "33", alarm: "1;31"}

// styled returns the text with the escape sequences of its tone.
func (p textWriter) styled(t tone, text string) string {
	if !p.screen.Color || t == plain || text == "" {
		return text
	}

	return "\x1b[" + toneSequences[t] + "m" + text + "\x1b[0m"
}

// table has a header and rows. A column name may begin with a mark:
//
//	">SIZE"  numbers are aligned to the right
//	"~NAME"  text is shortened in the middle if the terminal is too narrow
//	"=WHY"   text continues on the next line; only for the last column
type table struct {
	head []string
	kind []byte
	rows []row
}

type row struct {
	tone  tone
	cells []string
}

func newTable(head ...string) *table {
	t := &table{}
	for _, h := range head {
		kind := byte(' ')
		if h != "" && strings.IndexByte(">~=", h[0]) >= 0 {
			kind = h[0]
			h = h[1:]
		}

		t.kind = append(t.kind, kind)
		t.head = append(t.head, h)
	}

	return t
}

func (t *table) add(tone tone, cells ...string) { t.rows = append(t.rows, row{tone, cells}) }

func (t *table) removeColumns(heads ...string) {
	for _, head := range heads {
		i := slices.Index(t.head, head)
		t.head = slices.Delete(t.head, i, i+1)
		t.kind = slices.Delete(t.kind, i, i+1)
		for n := range t.rows {
			t.rows[n].cells = slices.Delete(t.rows[n].cells, i, i+1)
		}
	}
}

// columnGap is the number of spaces between two columns.
const columnGap = 2

// minColumnWidth is the smallest width of a column whose text can be shortened.
const minColumnWidth = 8

// widths distributes the width of a line, in terminal columns, among the table's columns. 0 means
// no limit.
func (t *table) widths(line int) []int {
	widths := make([]int, len(t.head))
	total := columnGap * (len(widths) - 1)
	for i := range widths {
		widths[i] = runewidth.StringWidth(t.head[i])
		for _, r := range t.rows {
			widths[i] = max(widths[i], runewidth.StringWidth(r.cells[i]))
		}

		total += widths[i]
	}

	for line > 0 && total > line {
		widest := -1
		for i, w := range widths {
			if (t.kind[i] == '~' || t.kind[i] == '=') && w > max(minColumnWidth, runewidth.StringWidth(t.head[i])) && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}

		if widest < 0 {
			break // it cannot fit, so the terminal will wrap it
		}

		widths[widest]--
		total--
	}

	return widths
}

// print writes the table, fitted to the width of the terminal.
func (t *table) print(p textWriter) {
	widths := t.widths(p.screen.Width)
	p.row(strong, t.kind, widths, t.head)
	for _, r := range t.rows {
		p.row(r.tone, t.kind, widths, r.cells)
	}
}

// section prints the table after an empty line, or nothing if it has no rows.
func (t *table) section(p textWriter) {
	if len(t.rows) > 0 {
		fmt.Fprintln(p)
		t.print(p)
	}
}

// printPairs prints rows of names and values.
func printPairs(w io.Writer, rows [][]string) {
	t := newTable(make([]string, len(rows[0]))...)
	for _, cells := range rows {
		t.add(plain, cells...)
	}

	widths := t.widths(0)
	for _, cells := range rows {
		textWriter{Writer: w}.row(plain, t.kind, widths, cells)
	}
}

// row writes one row, on several lines if its last text is wrapped. It shortens and wraps texts
// only on a terminal.
func (p textWriter) row(tone tone, kind []byte, widths []int, cells []string) {
	var b strings.Builder
	last := len(cells) - 1
	before := 0 // width of the columns before the last cell
	for i, c := range cells[:last] {
		if (kind[i] == '~' || kind[i] == '=') && p.screen.Width > 0 {
			c = shorten(c, widths[i])
		}
		if kind[i] == '>' {
			c = runewidth.FillLeft(c, widths[i])
		}

		b.WriteString(runewidth.FillRight(c, widths[i]+columnGap))
		before += widths[i] + columnGap
	}

	var lines []string
	switch c := cells[last]; {
	case kind[last] == '=' && p.screen.Width > 0:
		lines = wrap(c, widths[last])
	case kind[last] == '~' && p.screen.Width > 0:
		lines = []string{shorten(c, widths[last])}
	case kind[last] == '>':
		lines = []string{runewidth.FillLeft(c, widths[last])}
	default:
		lines = []string{c}
	}

	for i, l := range lines {
		if i > 0 {
			b.Reset()
			b.WriteString(strings.Repeat(" ", before))
		}

		b.WriteString(l)
		fmt.Fprintln(p, p.styled(tone, strings.TrimRight(b.String(), " ")))
	}
}

// shorten removes the middle of a text that is too wide. The beginning and the extension of a name
// are the most useful parts.
func shorten(s string, width int) string {
	all := runewidth.StringWidth(s)
	if all <= width || width < 3 {
		return s
	}
	tail := (width - 1) / 3
	head := runewidth.Truncate(s, width-1-tail, "")

	return head + "…" + runewidth.TruncateLeft(s, all-tail, "")
}

// wrap breaks a text into lines, between words if possible.
func wrap(s string, width int) []string {
	var lines []string
	for width > 0 && runewidth.StringWidth(s) > width {
		head := runewidth.Truncate(s, width, "")
		if at := strings.LastIndexByte(head, ' '); at > len(head)/3 {
			head = head[:at]
		}
		if head == "" {
			break // not even one character fits
		}

		lines = append(lines, head)
		s = strings.TrimLeft(s[len(head):], " ")
	}

	if s != "" || len(lines) == 0 {
		lines = append(lines, s)
	}

	return lines
}

// wrapped is wrap for text that is indented.
func (p textWriter) wrapped(s string, indent int) []string {
	if p.screen.Width == 0 {
		return []string{s}
	}

	return wrap(s, max(p.screen.Width-indent, minColumnWidth))
}

// paragraph prints a text on as many lines as it needs.
func (p textWriter) paragraph(tone tone, text string) {
	for _, line := range p.wrapped(text, 0) {
		fmt.Fprintln(p, p.styled(tone, line))
	}
}

// field prints a name and a text, which is indented to stay beside the name. It may have several
// lines.
func (p textWriter) field(name string, tone tone, text string) {
	const indent = 11
	for _, line := range p.wrapped(text, indent) {
		fmt.Fprintf(p, "%-*s%s\n", indent, name, p.styled(tone, line))
		name = ""
	}
}

// progressBar draws the used part of a total as a bar of the given width in characters.
func progressBar(used, total, width int) string {
	n := 0
	if total > 0 {
		n = min(max(used, 0), total) * width / total
	}

	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}
