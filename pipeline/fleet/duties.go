package fleet

import (
	"time"

	"backburn/pipeline"
)

// Duties briefly describes a member's work apart from uploads, so that every machine can show the
// whole fleet. It contains no secrets.
type Duties struct {
	Folders []Folder `json:"folders,omitempty"` // watched folders
	Sinks   []Sink   `json:"sinks,omitempty"`   // sinks that deliver events
	Tokens  []Token  `json:"tokens,omitempty"`  // tokens for WildFire

	// Omitted is how many entries are left out to keep the member's key small.
	Omitted int `json:"omitted,omitempty"`
}

// Folder is a folder that a member watches.
type Folder struct {
	Path     string `json:"path"`
	Source   string `json:"source"`
	State    string `json:"state"`     // ok, degraded or failed
	Pending  int    `json:"pending"`   // files that are not claimed yet
	InFlight int    `json:"in_flight"` // files that are claimed and whose jobs are not done
}

// Sink is the state of a sink.
type Sink struct {
	Name   string    `json:"name"`
	Kind   string    `json:"kind"`
	State  string    `json:"state"`         // ok, retrying or paused
	Behind uint64    `json:"behind"`        // events that are still to be delivered
	Last   time.Time `json:"last,omitzero"` // when an event was last delivered
}

// Token is the state of an access token, without the token itself.
type Token struct {
	Profile string    `json:"profile"`
	State   string    `json:"state"` // none, fresh, stale, expired or rejected
	Shared  bool      `json:"shared,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Limits for the duties of a member.
const (
	maxFolders = 12
	maxSinks   = 12
	maxPath    = 256 // bytes
)

// bounded limits the number of folders and of sinks, and the length of paths. Entries that are ok
// are omitted first.
func (d Duties) bounded() Duties {
	all := len(d.Folders) + len(d.Sinks)
	d.Folders = firstEntries(d.Folders, maxFolders, func(f Folder) bool { return f.State == "ok" })
	d.Sinks = firstEntries(d.Sinks, maxSinks, func(s Sink) bool { return s.State == "ok" })
	d.Omitted = all - len(d.Folders) - len(d.Sinks)
	for i := range d.Folders {
		d.Folders[i].Path = cut(d.Folders[i].Path, maxPath)
	}

	return d
}

// firstEntries copies up to n entries of a list, those that are not ok first.
func firstEntries[T any](list []T, n int, isOK func(T) bool) []T {
	var ordered []T
	for _, ok := range []bool{false, true} {
		for _, one := range list {
			if isOK(one) == ok && len(ordered) < n {
				ordered = append(ordered, one)
			}
		}
	}

	return ordered
}

// cut shortens a text of more than limit bytes to at most limit bytes and an ellipsis.
func cut(s string, limit int) string {
	if len(s) > limit {
		s = pipeline.Cut(s, limit) + "…"
	}

	return s
}
