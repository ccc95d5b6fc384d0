package fleet

import (
	"strings"
	"time"
)

// Duties is what a member does beside uploads, in brief, so that the whole fleet is seen from every
// machine. It holds no secrets.
type Duties struct {
	Folders []Folder `json:"folders,omitempty"` // that it watches
	Sinks   []Sink   `json:"sinks,omitempty"`   // by which it hands events on
	Tokens  []Token  `json:"tokens,omitempty"`  // with which it asks WildFire

	// Omitted is how many of these are left out, since a member's key stays small.
	Omitted int `json:"omitted,omitempty"`
}

// Folder is a folder that a member watches.
type Folder struct {
	Path     string `json:"path"`
	Source   string `json:"source"`
	State    string `json:"state"`     // ok, degraded or failed
	Pending  int    `json:"pending"`   // files that wait to be taken
	InFlight int    `json:"in_flight"` // taken and not yet finished
}

// Sink is what hands events on to another system.
type Sink struct {
	Name   string    `json:"name"`
	Kind   string    `json:"kind"`
	State  string    `json:"state"`         // ok, retrying or paused
	Behind uint64    `json:"behind"`        // events that wait
	Last   time.Time `json:"last,omitzero"` // when an event was last dealt with
}

// Token is the state of an access token; the token is not part of it.
type Token struct {
	Profile string    `json:"profile"`
	State   string    `json:"state"` // none, fresh, stale, expired or rejected
	Shared  bool      `json:"shared,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Bounds of the duties of a member: about 6 KiB.
const (
	maxFolders = 12
	maxSinks   = 12
	maxPath    = 256 // bytes
)

// bounded leaves out what is too much. What is not well stays: it is ordered first.
func (d Duties) bounded() Duties {
	all := len(d.Folders) + len(d.Sinks)
	d.Folders = firstOf(d.Folders, maxFolders, func(f Folder) bool { return f.State == "ok" })
	d.Sinks = firstOf(d.Sinks, maxSinks, func(s Sink) bool { return s.State == "ok" })
	d.Omitted = all - len(d.Folders) - len(d.Sinks)
	for i := range d.Folders {
		d.Folders[i].Path = cut(d.Folders[i].Path, maxPath)
	}

	return d
}

// firstOf copies up to n of a list, those that are not well first.
func firstOf[T any](list []T, n int, well func(T) bool) []T {
	var ordered []T
	for _, wanted := range []bool{false, true} {
		for _, one := range list {
			if well(one) == wanted && len(ordered) < n {
				ordered = append(ordered, one)
			}
		}
	}

	return ordered
}

// cut shortens a text to so many bytes.
func cut(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}

	return s
}
