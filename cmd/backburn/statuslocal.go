package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"backburn/auth"
	"backburn/internal/app"
	"backburn/internal/health"
	"backburn/internal/sink"
	"backburn/pipeline/watch"
)

// printLocal prints details that only the process on this machine knows.
func printLocal(w textWriter, st app.Status) {
	printParts(w, st)
	if st.Token != nil {
		fmt.Fprintf(w, "\n%s\n", strings.Join(w.wrapped("token "+tokenLine(*st.Token), 0), "\n"))
	}

	if len(st.Watch) > 0 {
		fmt.Fprintln(w)
		t := newTable("~FOLDER", "~SOURCE", "~STATE", ">PENDING", ">IN FLIGHT", ">CLAIMED", ">FINISHED")
		for _, f := range st.Watch {
			state := f.State
			if f.Reason != "" {
				state += ": " + f.Reason
			}

			t.add(okTone(f.State == watch.StateOK),
				printable(f.Path),
				f.Source,
				printable(state),
				strconv.Itoa(f.Pending),
				strconv.Itoa(f.InFlight),
				strconv.FormatInt(f.Claimed, 10),
				strconv.FormatInt(f.Finished, 10))
		}

		t.print(w)
		printTroubles(w, st.Watch)
	}

	printSinks(w, st.Sinks)
	if len(st.UploadsInProgress) > 0 {
		fmt.Fprintln(w)
		t := newTable("~UPLOADING", ">SENT", ">OF", "", ">SINCE")
		for _, f := range st.UploadsInProgress {
			t.add(plain, printable(f.Filename), humanSize(f.Sent), humanSize(f.Total), progressBar(int(f.Sent), int(f.Total), 20), formatAge(f.Since))
		}

		t.print(w)
	}
}

// printParts prints the parts of the local process that are not ok or have a note.
func printParts(w textWriter, st app.Status) {
	t := newTable("~PART HERE", "STATE", ">SINCE", "=REASON")
	for _, p := range st.Parts {
		if p.State != health.OK && p.State != health.Unknown || p.Note != "" {
			t.add(okTone(p.State == health.OK), printable(p.Name()), string(p.State), formatAge(p.Since), printable(p.Text()))
		}
	}

	switch {
	case len(t.rows) > 0:
		fmt.Fprintln(w)
		t.print(w)
	case st.Role != "":
		fmt.Fprintf(w, "\nevery part of the process on this machine (%s) is ok\n", printable(st.Role))
	}
}

// printTroubles prints the files that cannot be processed.
func printTroubles(w textWriter, folders []watch.Status) {
	t := newTable("~FILE IN TROUBLE", "~SOURCE", ">SINCE", "=REASON")
	for _, f := range folders {
		for _, file := range f.Troubles {
			t.add(notable, printable(file.Path), f.Source, formatAge(file.Since), printable(file.Reason))
		}
		if more := f.Troubled - len(f.Troubles); more > 0 {
			t.add(notable, fmt.Sprintf("and %d more", more), f.Source, "", "")
		}
	}

	if len(t.rows) > 0 {
		fmt.Fprintln(w)
		t.print(w)
	}
}

// printSinks prints the state of the sinks.
func printSinks(w textWriter, sinks []sink.Status) {
	if len(sinks) == 0 {
		return
	}

	fmt.Fprintln(w)
	t := newTable("~SINK", "KIND", "=STATE", ">SINCE", ">BEHIND", ">LAST")
	for _, s := range sinks {
		last := "-"
		if !s.Last.IsZero() {
			last = formatAge(s.Last)
		}

		state := s.State
		if s.Cause != "" {
			state += ": " + s.Cause
		}
		if s.Remedy != "" {
			state += "; " + s.Remedy
		}

		t.add(okTone(s.Cause == ""), printable(s.Name), s.Kind, printable(state), formatAge(s.Since), strconv.FormatUint(s.Behind, 10), last)
	}

	t.print(w)
}

// tokenLine describes the state of a token. It does not contain the token.
func tokenLine(s auth.Status) string {
	line := fmt.Sprintf("%s (%s): %s", s.Name, s.Kind, s.State)
	if s.Fingerprint != "" {
		line += ", fingerprint " + s.Fingerprint
	}
	if !s.Obtained.IsZero() {
		line += ", " + formatDuration(time.Since(s.Obtained)) + " old"
	}
	if !s.Expires.IsZero() {
		line += ", ends " + formatTime(s.Expires)
	}
	if s.LastError != "" {
		line += "; " + printable(s.LastError)
	}

	return line
}
