package health

import (
	"cmp"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// Status is the state of a part for display. It contains no secrets.
type Status struct {
	Part   string    `json:"part"`         // the part, such as "nats" or "folder_claim"
	Of     string    `json:"of,omitempty"` // what the part belongs to: a source, a profile, a sink
	State  State     `json:"state"`
	Since  time.Time `json:"since"` // when the state began; of a fault: when the fault began, also if it became better or worse
	Cause  Cause     `json:"cause,omitempty"`
	Reason string    `json:"reason,omitempty"` // what failed, and why
	Remedy string    `json:"remedy,omitempty"` // what to do
	Note   string    `json:"note,omitempty"`   // something to report although the part is ok

	required bool
}

// Name returns the part and what it belongs to, for people.
func (s Status) Name() string {
	if s.Of == "" {
		return s.Part
	}

	return s.Part + " " + s.Of
}

// Text describes the part, for people.
func (s Status) Text() string {
	if s.State == OK {
		return s.Note
	}
	if s.State == Unknown {
		return cmp.Or(s.Reason, "not known yet")
	}

	return Fault{Reason: s.Reason, Remedy: s.Remedy}.Error()
}

// fields adds the name of the part to a log line.
func (s Status) fields(e *zerolog.Event) *zerolog.Event {
	e = e.Str("part", s.Part)
	if s.Of != "" {
		e = e.Str("of", s.Of)
	}

	return e
}

// Worst returns the worst state of parts; OK for none.
func Worst(parts []Status) State {
	worst := OK
	for _, p := range parts {
		if p.State == Unknown && !p.required {
			continue // for example a service that was never called
		}
		if p.State.severity() > worst.severity() {
			worst = p.State
		}
	}

	return worst
}

// Ready reports whether a process with these parts can do its work: none has failed, and no
// required part is still unknown.
func Ready(parts []Status) bool {
	return Checked(parts) && !slices.ContainsFunc(parts, func(s Status) bool { return s.State == Failed })
}

// Checked reports whether the state of every required part is known. Until then nobody knows
// whether the process is ready.
func Checked(parts []Status) bool {
	return !slices.ContainsFunc(parts, func(s Status) bool { return s.State == Unknown && s.required })
}

// NotOK returns the parts that have a fault, the worst first; unknown parts are left out. Parts in
// the same state are sorted by duration, the longest first.
func NotOK(parts []Status) []Status {
	var bad []Status
	for _, s := range parts {
		if s.State.isBad() {
			bad = append(bad, s)
		}
	}
	slices.SortStableFunc(bad, func(a, b Status) int {
		return cmp.Or(cmp.Compare(b.State.severity(), a.State.severity()), a.Since.Compare(b.Since))
	})

	return bad
}
