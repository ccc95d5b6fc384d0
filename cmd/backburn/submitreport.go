package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"backburn/internal/cli"
	"backburn/pipeline"
	"backburn/results"
)

// submitLine is the result of a file, printed as a line of JSON.
type submitLine struct {
	Path    string         `json:"path,omitempty"`
	PathB64 []byte         `json:"path_b64,omitempty"` // if the path is not UTF-8
	URL     string         `json:"url,omitempty"`
	Job     string         `json:"job_id,omitempty"`
	Size    int64          `json:"size,omitempty"`
	State   string         `json:"state"`
	Verdict string         `json:"verdict,omitempty"`
	Error   string         `json:"error,omitempty"`
	Event   *results.Event `json:"event,omitempty"`
}

// printEntry prints a finished entry as JSON. On a terminal it prints nothing, since a table
// follows at the end. The caller holds mu.
func (s *submission) printEntry(e *entry) error {
	if !s.asJSON {
		return nil
	}

	l := submitLine{
		URL:   e.url,
		Job:   e.job,
		Size:  e.size,
		State: e.state,
		Event: e.event,
	}
	l.Path, l.PathB64 = pipeline.EncodeName(e.path)
	if e.err != nil {
		l.Error, l.Job = e.err.Error(), ""
	}

	if e.event != nil {
		l.Verdict = e.event.Data.Verdict
		if e.event.Data.Error != nil {
			l.Error = e.event.Data.Error.Message
		}
	}

	return printJSON(s.tool.Out, l)
}

// report prints the remaining results, and returns the error that sets the exit code.
func (s *submission) report(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := map[string]int{}
	bad := false
	failed, unrecognised := 0, 0
	for _, e := range s.entries {
		if e.state == stateAccepted && s.wait {
			e.state = statePending
			if err := s.printEntry(e); err != nil {
				return err
			}
		}

		count[e.state]++
		if e.event != nil {
			switch verdict := e.event.Data.Verdict; {
			case e.event.Type == results.Failed:
				failed++
			case slices.Contains(maliciousVerdicts, verdict):
				bad = true
			case verdict != benign:
				unrecognised++
			}
		}
	}

	if !s.asJSON && len(s.entries) > 0 {
		s.table()
	}
	if n := count[stateAccepted] + count[statePending]; n > 0 {
		fmt.Fprint(s.tool.Err, s.tool.Hints(fmt.Sprintf("%s in progress; `backburn results --source %s` shows the results.\n", plural(n, "job"), s.source)))
	}

	failed += count[stateError]
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case bad:
		return cli.Exit(cli.Malicious, nil)
	case len(s.entries) == 0:
		fmt.Fprintln(s.tool.Err, "There are no files.")
	}

	return partialError(plural(len(s.entries), "file"), failed, unrecognised, count[statePending])
}

// partialError returns an error that says how many of the files are not known to be harmless, or
// nil if there are none.
func partialError(all string, failed, unrecognised, pending int) error {
	of := " of " + all
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{failed, "failed"}, {unrecognised, "with an unrecognised verdict"}, {pending, "without a verdict yet"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d%s %s", part.n, of, part.what))
			of = ""
		}
	}
	if len(parts) == 0 {
		return nil
	}

	return cli.Exit(cli.Partial, errors.New(strings.Join(parts, ", ")))
}

// table prints every entry for people, and the totals.
func (s *submission) table() {
	t := newTable("STATE", ">SIZE", "~JOB", "~FILE")
	var all resultCounts
	for _, e := range s.entries {
		state := e.state
		job := e.job
		name := e.path
		size := humanSize(e.size)
		tone := plain
		if e.url != "" {
			name = e.url
		}
		if e.url != "" || e.err != nil {
			size = "-"
		}

		name = cli.Printable(name)
		switch {
		case e.err != nil:
			job = "" // it does not exist
			name += ": " + cli.Printable(e.err.Error())
			tone = notable
			all.add("failed", e.url != "")
		case e.event != nil && e.event.Data.Error != nil:
			state, name = "failed", name+": "+cli.Printable(e.event.Data.Error.Message)
			tone = notable
			all.addEvent(*e.event)
		case e.event != nil:
			state, tone = styleVerdict(e.event.Data.Verdict)
			all.addEvent(*e.event)
		default:
			all.add(undecided, e.url != "")
		}

		t.add(tone, orDash(cli.Printable(state)), size, orDash(job), name)
	}

	t.print(stdoutWriter(s.tool))
	if s.wait {
		fmt.Fprintln(s.tool.Err, all.summary(stderrWriter(s.tool)))
	}
}
