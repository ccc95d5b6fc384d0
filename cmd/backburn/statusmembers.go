package main

import (
	"fmt"
	"strconv"
	"time"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/health"
	"backburn/internal/sink"
	"backburn/pipeline/watch"
)

// printMembers prints the processes of the fleet and their faults.
func printMembers(w textWriter, st app.Status) {
	fmt.Fprintln(w)
	if len(st.Workers()) == 0 {
		fmt.Fprintln(w, w.styled(notable, "no worker is running: start `backburn run` or `worker`"))
	}
	if len(st.Members) == 0 {
		return
	}

	t := newTable("~PROCESS", "~HOST", ">PID", "~VERSION", "CONFIG", ">SLOTS", ">UP", "~HEALTH")
	faults := newTable("~NOT OK", "~PART", "STATE", "SINCE", "=REASON")
	for _, m := range st.Members {
		role := m.Role
		if m.Leader {
			role += " (leader)"
		}

		up := formatDuration(time.Since(m.Started))
		state := cli.Printable(string(m.State))
		if m.Gone {
			up = "-"
			state = "GONE, last seen " + formatAge(m.Seen)
		}

		t.add(okTone(m.State == health.OK && !m.Gone),
			cli.Printable(role),
			cli.Printable(m.Host),
			strconv.Itoa(m.PID),
			cli.Printable(orDash(m.Version)),
			cli.Printable(orDash(m.Config)),
			strconv.Itoa(m.Slots),
			up,
			state)
		for _, p := range m.Unwell {
			if !m.Gone {
				faults.add(notable, cli.Printable(m.Role+" "+strconv.Itoa(m.PID)), cli.Printable(p.Name()), cli.Printable(string(p.State)), formatAge(p.Since), cli.Printable(p.Text()))
			}
		}
	}

	t.print(w)
	faults.section(w)
}

// printFleetParts prints the folders, sinks and tokens of other processes. printLocal shows those
// of the local process in more detail.
func printFleetParts(w textWriter, st app.Status) {
	folders := newTable("~FLEET'S FOLDER", "~SOURCE", "~HOST", "STATE", ">PENDING", ">IN FLIGHT")
	sinks := newTable("~FLEET'S SINK", "KIND", "~HOST", "STATE", ">BEHIND", ">LAST")
	tokens := newTable("~FLEET'S TOKEN", "~HOST", "STATE", "EXPIRES")
	omitted := 0
	for _, m := range st.Members {
		if m.Gone || st.ID != "" && m.ID == st.ID {
			continue
		}

		host := cli.Printable(m.Host)
		omitted += m.Omitted
		for _, f := range m.Folders {
			folders.add(okTone(f.State == watch.StateOK),
				cli.Printable(f.Path), cli.Printable(f.Source), host, cli.Printable(f.State), strconv.Itoa(f.Pending), strconv.Itoa(f.InFlight))
		}

		for _, s := range m.Sinks {
			sinks.add(okTone(s.State == sink.StateOK),
				cli.Printable(s.Name), cli.Printable(s.Kind), host, cli.Printable(s.State), strconv.FormatUint(s.Behind, 10), formatAge(s.Last))
		}

		for _, t := range m.Tokens {
			tokens.add(okTone(t.State != "rejected" && t.State != "expired"), cli.Printable(t.Profile), host, cli.Printable(t.State), formatTime(t.Expires))
		}
	}

	folders.section(w)
	sinks.section(w)
	tokens.section(w)
	if omitted > 0 {
		fmt.Fprintf(w, "%d more folders and sinks: run `backburn status` on their machines\n", omitted)
	}
}
