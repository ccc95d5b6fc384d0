package watch

import (
	"time"

	"backburn/internal/health"
)

// States of a folder, as in health.State.
const (
	StateOK       = string(health.OK)
	StateDegraded = string(health.Degraded) // files are taken and finished, with some limitation
	StateFailed   = string(health.Failed)
)

// Status describes the present state of a watcher.
type Status struct {
	Path   string `json:"path"`
	Source string `json:"source"`

	State  string    `json:"state"`            // ok, degraded or failed; unknown before the folder is first opened
	Reason string    `json:"reason,omitempty"` // why it is not ok, and what to do
	Since  time.Time `json:"since,omitzero"`   // when it became ok, or was last ok

	Mode string `json:"mode,omitempty"` // events or poll
	Held string `json:"held,omitempty"` // why no more files are claimed at the moment

	Pending  int   `json:"pending"`   // names in memory that are not yet judged or taken
	InFlight int   `json:"in_flight"` // claimed and not yet finished
	Scanned  int64 `json:"scanned"`   // entries seen by the last full scan
	Claimed  int64 `json:"claimed"`   // files claimed since the watcher started
	Finished int64 `json:"finished"`  // files finished since the watcher started

	Oldest        time.Time `json:"oldest,omitzero"`    // when the oldest unfinished file was claimed
	OldestPending time.Time `json:"waiting,omitzero"`   // when the name that has been pending longest was first seen
	LastScan      time.Time `json:"last_scan,omitzero"` // end of the last full scan

	// Files that cannot be processed because of faults of their own. The folder stays ok.
	Troubled int       `json:"troubled,omitempty"`
	Troubles []Trouble `json:"troubles,omitempty"` // those in trouble longest
}

// Status returns the present state of the watcher. Safe for concurrent use.
func (w *Watcher) Status() Status {
	s := Status{Path: w.cfg.Path, Source: w.cfg.Source}
	s.State, s.Reason, s.Since, s.Mode = w.health.summary()
	s.Troubled, s.Troubles = w.troubles.reported(w.start)
	s.Pending = int(w.pendingCount.Load())
	s.InFlight, s.Oldest, s.Held = w.inFlight.summary()
	s.Scanned = w.scanned.Load()
	s.Claimed = w.claims.Load()
	s.Finished = w.finishes.Load()
	if t := w.oldestPending.Load(); t != 0 {
		s.OldestPending = time.Unix(0, t).UTC()
	}
	if t := w.lastScan.Load(); t != 0 {
		s.LastScan = time.Unix(0, t).UTC()
	}

	return s
}
