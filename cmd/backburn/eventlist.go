package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"backburn/internal/cli"
	"backburn/results"
)

// eventList is a table that is printed while events arrive, so its columns have fixed widths.
type eventList struct {
	tool    *cli.App
	uploads bool // only submitted events
	audits  bool // only audit events
	tally   resultCounts
}

func newEventList(tool *cli.App, types []results.Type) *eventList {
	only := func(t results.Type) bool { return len(types) == 1 && types[0] == t }

	return &eventList{tool: tool, uploads: only(results.Submitted), audits: only(results.Audited)}
}

// clockWidth is the width of a time without the year.
const clockWidth = 15

func eventTime(p textWriter, t time.Time) string {
	if isNarrow(p) {
		return t.Local().Format(time.Stamp)
	}

	return t.Local().Format(time.DateTime)
}

func (l *eventList) printHeader() {
	heads := []string{"TIME", "RESULT", "SOURCE", "SHA-256", "SIZE", "BASIS", "NAME"}
	switch {
	case l.uploads:
		heads = []string{"TIME", "SOURCE", "JOB", "SHA-256", "SIZE", "NAME", "RULE"}
	case l.audits:
		heads = []string{"TIME", "ACTION", "STATUS", "BY", "WHAT"}
	}

	l.line(stdoutWriter(l.tool), strong, heads...)
}

// line prints the cells of an event.
func (l *eventList) line(p textWriter, tone tone, cells ...string) {
	switch {
	case l.uploads:
		p.row(tone, []byte("    >~ "), []int{19, 12, 30, 64, 9, 24, 0}, cells)
	case l.audits:
		p.row(tone, []byte("   ~="), p.withRest(len(eventTime(p, time.Time{})), 7, 9, 12), cells)
	case isNarrow(p):
		cells = slices.Delete(slices.Delete(cells, 5, 6), 3, 4)
		p.row(tone, []byte("  ~>~"), p.withRest(narrowColumns...), cells)
	default:
		p.row(tone, []byte("    >  "), []int{19, 18, 12, 12, 9, 6, 0}, cells)
	}
}

// narrowColumns are the widths of the columns before the name on a narrow terminal: time, result,
// source and size. The hash and the basis are left out.
var narrowColumns = []int{clockWidth, 18, 10, 8}

// withRest appends the remaining width of the terminal to the widths of columns.
func (p textWriter) withRest(widths ...int) []int {
	left := p.screen.Width
	for _, w := range widths {
		left -= w + columnGap
	}

	return append(slices.Clip(widths), max(left, minColumnWidth))
}

func (l *eventList) print(p textWriter, e results.Event) {
	d := e.Data
	size := "-"
	if d.Size > 0 {
		size = humanSize(d.Size)
	}

	text := cli.Printable(cmp.Or(d.Path, d.Filename, d.URL))
	if l.uploads { // a record for audits needs the whole SHA-256
		l.line(p, plain, d.SubmittedAt.Local().Format(time.DateTime), cli.Printable(d.Source), cli.Printable(d.JobID), orDash(d.SHA256), size, text, cli.Printable(orDash(d.Policy)))
		return
	}

	l.tally.addEvent(e)
	if a := d.Audit; a != nil && l.audits {
		l.line(p, auditTone(*a), eventTime(p, e.Time), string(a.Action), string(a.Status), cli.Printable(a.By), cli.Printable(auditText(*a)))
		return
	} else if a != nil {
		l.line(p, auditTone(*a), eventTime(p, e.Time), string(a.Action)+" "+string(a.Status), "-", shortHash(a.SHA256), "-", "-", cli.Printable(a.By+": "+auditText(*a)))
		return
	}

	result, tone := styleVerdict(d.Verdict)
	switch {
	case d.Error != nil:
		result = e.Outcome() // the reason
		tone = notable
		if !isNarrow(p) {
			text += ": " + cli.Printable(clip(d.Error.Message, 100))
		}
	case e.Type == results.Changed:
		result = "now " + result
	}

	l.line(p, tone, eventTime(p, e.Time), cli.Printable(result), cli.Printable(d.Source), shortHash(d.SHA256), size, orDash(string(d.Basis)), text)
}

// auditTone highlights failed actions.
func auditTone(a results.Audit) tone { return okTone(a.Status != results.AuditFailed) }

// auditText describes the subject of an action, its result, and where it was started.
func auditText(a results.Audit) string {
	var parts []string
	if a.Letter > 0 {
		parts = append(parts, fmt.Sprintf("letter %d", a.Letter))
	}

	for _, part := range []string{cmp.Or(a.Job, a.URL, a.SHA256), cmp.Or(a.Result, a.Reason)} {
		if part != "" {
			parts = append(parts, part)
		}
	}

	where := "(" + a.Via
	if a.From != "" {
		where += " at " + a.From
	}

	return strings.TrimLeft(strings.Join(parts, ": ")+" "+where+")", " ")
}

func (l *eventList) printSummary() {
	if line := l.tally.summary(stderrWriter(l.tool)); line != "" {
		fmt.Fprintln(l.tool.Err, line)
	}
}
