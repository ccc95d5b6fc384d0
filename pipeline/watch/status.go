package watch

import (
	"time"

	"backburn/internal/health"
)

// States of a folder; those of health.State.
const (
	StateOK       = string(health.OK)
	StateDegraded = string(health.Degraded) // files are taken and finished, and something is missing
	StateFailed   = string(health.Failed)
)

// Status is where a watcher stands.
type Status struct {
	Path   string `json:"path"`
	Source string `json:"source"`

	State  string    `json:"state"`            // ok, degraded or failed
	Reason string    `json:"reason,omitempty"` // why it is not ok, and what to do
	Since  time.Time `json:"since,omitzero"`   // when the state began

	Mode string `json:"mode,omitempty"` // events or poll
	Held string `json:"held,omitempty"` // why nothing more is claimed just now

	Pending  int   `json:"pending"`   // names in memory that wait to be judged or taken
	InFlight int   `json:"in_flight"` // claimed and not yet finished
	Scanned  int64 `json:"scanned"`   // entries that the last full scan saw
	Claimed  int64 `json:"claimed"`   // since the start of the watcher
	Finished int64 `json:"finished"`  // likewise

	Oldest   time.Time `json:"oldest,omitzero"`    // when the oldest unfinished file was claimed
	Waiting  time.Time `json:"waiting,omitzero"`   // when the name was first met that has waited longest to be claimed
	LastScan time.Time `json:"last_scan,omitzero"` // end of the last full scan

	// Files that cannot be dealt with, for reasons of their own. They leave the folder ok.
	Troubled int       `json:"troubled,omitempty"`
	Troubles []Trouble `json:"troubles,omitempty"` // of them those that have waited longest
}

// Status returns where the watcher stands. Safe for concurrent use.
func (w *Watcher) Status() Status {
	s := Status{Path: w.cfg.Path, Source: w.cfg.Source}
	s.State, s.Reason, s.Since, s.Mode = w.health.view()
	s.Troubled, s.Troubles = w.troubles.reported(w.start)
	s.Pending = int(w.pendingCount.Load())
	s.InFlight, s.Oldest, s.Held = w.inFlight.summary()
	s.Scanned = w.scanned.Load()
	s.Claimed = w.claims.Load()
	s.Finished = w.finishes.Load()
	if t := w.oldestPending.Load(); t != 0 {
		s.Waiting = time.Unix(0, t).UTC()
	}
	if t := w.lastScan.Load(); t != 0 {
		s.LastScan = time.Unix(0, t).UTC()
	}

	return s
}
