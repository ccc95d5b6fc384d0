package main

import (
	"fmt"
	"strconv"
	"time"

	"backburn/auth"
	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/health"
	"backburn/internal/sink"
	"backburn/pipeline/watch"
)

// printLocal prints details that only the process on this machine knows.
func printLocal(w textWriter, st app.Status) {
	printParts(w, st)
	if st.Token != nil {
		fmt.Fprintln(w)
		w.paragraph(plain, "token "+tokenLine(*st.Token))
	}

	printFolders(w, st.Watch)
	printSinks(w, st.Sinks)
	uploads := newTable("~UPLOADING", ">SENT", ">OF", "", ">SINCE")
	for _, f := range st.UploadsInProgress {
		uploads.add(plain, cli.Printable(f.Filename), humanSize(f.Sent), humanSize(f.Total), progressBar(int(f.Sent), int(f.Total), 20), formatAge(f.Since))
	}

	uploads.section(w)
}

// printParts prints the parts of the local process that are not ok or have a note.
func printParts(w textWriter, st app.Status) {
	t := newTable("~PART HERE", "STATE", ">SINCE", "=REASON")
	for _, p := range st.Parts {
		if p.State != health.OK && p.State != health.Unknown || p.Note != "" {
			t.add(okTone(p.State == health.OK), cli.Printable(p.Name()), string(p.State), formatAge(p.Since), cli.Printable(p.Text()))
		}
	}

	t.section(w)
	if len(t.rows) == 0 && st.Role != "" {
		fmt.Fprintf(w, "\nevery part of the process on this machine (%s) is ok\n", cli.Printable(st.Role))
	}
}

// printFolders prints the watched folders, and the files that cannot be processed.
func printFolders(w textWriter, folders []watch.Status) {
	t := newTable("~FOLDER", "~SOURCE", "~STATE", ">PENDING", ">IN FLIGHT", ">CLAIMED", ">FINISHED")
	troubles := newTable("~FILE IN TROUBLE", "~SOURCE", ">SINCE", "=REASON")
	for _, f := range folders {
		state := f.State
		if f.Reason != "" {
			state += ": " + f.Reason
		}

		t.add(okTone(f.State == watch.StateOK),
			cli.Printable(f.Path),
			f.Source,
			cli.Printable(state),
			strconv.Itoa(f.Pending),
			strconv.Itoa(f.InFlight),
			strconv.FormatInt(f.Claimed, 10),
			strconv.FormatInt(f.Finished, 10))
		for _, file := range f.Troubles {
			troubles.add(notable, cli.Printable(file.Path), f.Source, formatAge(file.Since), cli.Printable(file.Reason))
		}
		if more := f.Troubled - len(f.Troubles); more > 0 {
			troubles.add(notable, fmt.Sprintf("and %d more", more), f.Source, "", "")
		}
	}

	t.section(w)
	troubles.section(w)
}

func printSinks(w textWriter, sinks []sink.Status) {
	t := newTable("~SINK", "KIND", "~STATE", ">SINCE", ">BEHIND", ">LAST")
	for _, s := range sinks {
		state := s.State
		if s.Cause != "" {
			state += ": " + s.Cause
		}
		if s.Remedy != "" {
			state += "; " + s.Remedy
		}

		t.add(okTone(s.Cause == ""), cli.Printable(s.Name), s.Kind, cli.Printable(state), formatAge(s.Since), strconv.FormatUint(s.Behind, 10), formatAge(s.Last))
	}

	t.section(w)
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
		line += "; " + cli.Printable(s.LastError)
	}

	return line
}
