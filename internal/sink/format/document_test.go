package format

import (
	"fmt"
	"strconv"
	"strings"
)

const documentHead = `# Formats of events

This page shows where each field of an event appears in each format. ` + "`format`" + ` of a ` + "`[[sink]]`" + ` selects
the format:

- ` + "`cloudevents`" + ` (the default): the event as it was published ([events.md](events.md))
- ` + "`ecs`" + `: Elastic Common Schema %s
- ` + "`ocsf`" + `: Open Cybersecurity Schema Framework %s
- ` + "`cef`" + `: Common Event Format, version 0

In every format an event is one line. Fields without a value are left out. This page is generated
from the source.

| field | ECS | OCSF | CEF | |
|---|---|---|---|---|
`

const documentTail = `
In addition, every event has these fields:

- ECS: ` + "`event.kind`" + ` (` + "`alert`" + ` for the verdicts malware, grayware, phishing and c2, ` + "`enrichment`" + ` for
  reports, otherwise ` + "`event`" + `), ` + "`event.category`" + `, ` + "`event.type`" + `, ` + "`event.outcome`" + `, ` + "`event.severity`" + `,
  ` + "`event.module`" + `, ` + "`event.dataset`" + `, ` + "`observer.*`" + `, ` + "`service.*`" + ` and ` + "`message`" + `. Audit events have the
  category ` + "`configuration`" + ` and no ` + "`observer.*`" + `. Simulated events have the tag ` + "`simulated`" + `.
- OCSF: ` + "`observables`" + `, with names, hashes and links. A verdict is a Detection Finding (class 2004).
  Its activity is Create, or Update if the verdict changed or its report arrived. The start and the
  failure of an analysis are Scan Activity (class 6007, Started or Error). That class has no
  evidence, so its fields are below ` + "`unmapped`" + `, and the job is ` + "`scan.uid`" + `. An audit event is API
  Activity (class 6003: Create for a retry, Update for pause and resume, Delete for a drop, Other
  for a recheck).
- CEF: the header ` + "`Backburn|Backburn|<version>|<event>.<outcome>|<name>|<severity>`" + `, and ` + "`outcome`" + `.
  Values are cut at the standard's limits. Line ends become ` + "`\\n`" + ` and ` + "`\\r`" + `, and other
  control characters become blanks.

Severities:

| event | CEF, ECS | OCSF | syslog |
|---|---|---|---|
| c2 | 9 | 5, Critical | 2, critical |
| malware, phishing | 8 | 4, High | 2, critical |
| grayware | 5 | 3, Medium | 4, warning |
| a failure, a verdict of a later version | 3 | 2, Low | 4, warning |
| an audit event with the status failed | 3 | 2, Low | 4, warning |
| another audit event | 2 | 1, Informational | 5, notice |
| benign, submitted, report | 1 | 1, Informational | 6, informational |

If this version does not know the type of an event, only ` + "`cloudevents`" + ` delivers it. The other formats
skip the event and count it (` + "`skipped`" + `).
`

// Document returns docs/formats.md.
func Document() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, documentHead, ECSVersion, OCSFVersion)
	for _, r := range rows {
		cef := code(r.cef)
		if label := r.labelOf(); label != "" {
			cef += fmt.Sprintf(" (%sLabel=%s)", r.cef, label)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.field, paths(r.ecs), paths(r.ocsf), cef, r.note)
	}
	b.WriteString(documentTail)

	return []byte(b.String())
}

// paths writes paths with brackets for arrays, as usual.
func paths(list []string) string {
	var all []string
	for _, path := range list {
		var b strings.Builder
		for i, part := range strings.Split(path, ".") {
			if _, err := strconv.Atoi(part); err == nil {
				b.WriteString("[]")
				continue
			}
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(part)
		}
		all = append(all, code(b.String()))
	}

	return strings.Join(all, ", ")
}

func code(s string) string {
	if s == "" {
		return ""
	}

	return "`" + s + "`"
}
