package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"backburn/internal/cli"
	"backburn/results"
)

// eventList is a table of events that is never done: its columns are as wide as they are.
type eventList struct {
	tool    *cli.App
	uploads bool
	tally   tally
}

func newEventList(tool *cli.App, uploads bool) *eventList {
	return &eventList{tool: tool, uploads: uploads}
}

// clockWidth is that of a time without its year.
const clockWidth = 15

// stamp is the time of an event.
func stamp(p paper, t time.Time) string {
	if narrow(p) {
		return t.Local().Format(time.Stamp)
	}

	return t.Local().Format(time.DateTime)
}

func (l *eventList) head() {
	p := paperOf(l.tool)
	cells := []string{"TIME", "RESULT", "SOURCE", "SHA-256", "SIZE", "BASIS", "NAME"}
	if l.uploads {
		cells = []string{"TIME", "SOURCE", "JOB", "SHA-256", "SIZE", "NAME", "RULE"}
	}
	l.line(p, strong, cells)
}

// line prints the cells of an event.
func (l *eventList) line(p paper, tone tone, cells []string) {
	if l.uploads {
		p.row(tone, []byte("    >~ "), []int{19, 12, 30, 64, 9, 24, 0}, cells)
		return
	}

	if !narrow(p) {
		p.row(tone, []byte("    >  "), []int{19, 18, 12, 12, 9, 6, 0}, cells)
		return
	}
	widths := append(slices.Clone(narrowColumns), p.nameWidth())
	p.row(tone, []byte("  ~>~"), widths, []string{cells[0], cells[1], cells[2], cells[4], cells[6]})
}

// narrowColumns are those before the name where there is little room: time, result, source and
// size. The hash and the way to the verdict are left out.
var narrowColumns = []int{clockWidth, 18, 10, 8}

// nameWidth is what is left for the name there.
func (p paper) nameWidth() int {
	left := p.screen.Width
	for _, w := range narrowColumns {
		left -= w + gap
	}

	return max(left, narrowest)
}

func (l *eventList) show(e results.Event) error {
	l.print(paperOf(l.tool), e)
	return nil
}

func (l *eventList) print(p paper, e results.Event) {
	d := e.Data
	size := "-"
	if d.Size > 0 {
		size = humanSize(d.Size)
	}
	if l.uploads { // a record for audits: the whole SHA-256
		l.line(p, plain, []string{
			d.SubmittedAt.Local().Format(time.DateTime), printable(d.Source), printable(d.JobID), or(d.SHA256),
			size, printable(cmp.Or(d.Path, d.Filename, d.URL)), printable(or(d.Policy)),
		})
		return
	}

	l.tally.event(e)
	if a := d.Audit; a != nil {
		l.line(p, auditTone(*a), []string{stamp(p, e.Time), string(a.Action) + " " + string(a.Status), "-", short(a.SHA256), "-", "-", printable(auditText(*a))})
		return
	}
	result, tone := judged(d.Verdict)
	text := printable(cmp.Or(d.Path, d.Filename, d.URL))
	switch {
	case d.Error != nil:
		result = e.Outcome() // the reason
		tone = notable
		if !narrow(p) {
			text += ": " + printable(clip(d.Error.Message, 100))
		}
	case e.Type == results.Changed:
		result = "now " + result
	}
	l.line(p, tone, []string{stamp(p, e.Time), printable(result), printable(d.Source), short(d.SHA256), size, or(string(d.Basis)), text})
}

// auditTone makes what failed stand out.
func auditTone(a results.Audit) tone {
	if a.Status == results.AuditFailed {
		return notable
	}

	return plain
}

// auditText says who did what, where, and what came of it.
func auditText(a results.Audit) string {
	text := a.By + ", " + a.Via
	if a.From != "" {
		text += " at " + a.From
	}
	if a.Letter > 0 {
		text += fmt.Sprintf(": letter %d", a.Letter)
	}
	if about := cmp.Or(a.Job, a.URL, a.SHA256); about != "" {
		text += ", " + about
	}
	if detail := cmp.Or(a.Result, a.Reason); detail != "" {
		text += ": " + detail
	}

	return text
}

// end tells how much it was.
func (l *eventList) end() {
	if line := l.tally.line(talkTo(l.tool)); line != "" {
		fmt.Fprintln(l.tool.Err, line)
	}
}
