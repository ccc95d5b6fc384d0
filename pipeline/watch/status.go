package watch

import (
	"sync"
	"time"
)

// States of a folder.
const (
	StateOK       = "ok"
	StateDegraded = "degraded"
)

// Status is where a watcher stands.
type Status struct {
	Path   string `json:"path"`
	Source string `json:"source"`

	State  string    `json:"state"`            // ok or degraded
	Reason string    `json:"reason,omitempty"` // why it is degraded, and what to do
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
}

// health is the part of the status that several goroutines write.
type health struct {
	mu      sync.Mutex
	state   string
	reason  string
	since   time.Time
	partial map[string]fault // what leaves the rest of the folder working, by part
	mode    string
}

// fault is something that went wrong in a part of the work.
type fault struct {
	reason     string
	at, logged time.Time // when it last occurred, and was last logged
}

// logAgain is the time between two log lines about the same part.
const logAgain = time.Minute

// set changes the state of the folder as a whole and reports whether that is news.
func (h *health) set(state, reason string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != state {
		h.since = time.Now().UTC()
	}
	news := h.state != state || h.reason != reason
	h.state, h.reason = state, reason
	if state == StateDegraded {
		clear(h.partial)
	}
	return news
}

// part notes a fault in a part of the folder, or with reason "" its end, and reports whether
// that is worth a line in the log.
func (h *health) part(name, reason string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	before, faulty := h.partial[name]
	if reason == "" {
		h.endLocked(name, now)
		return faulty
	}
	if h.partial == nil {
		h.partial = map[string]fault{}
	}
	if len(h.partial) == 0 && h.state == StateOK {
		h.since = now.UTC()
	}
	f := fault{reason: reason, at: now, logged: before.logged}
	news := now.Sub(before.logged) >= logAgain
	if news {
		f.logged = now
	}
	h.partial[name] = f
	return news
}

// expire ends the faults that have not occurred for a while, and returns their parts.
func (h *health) expire(kept time.Duration) (over []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for name, f := range h.partial {
		if !lasting[name] && now.Sub(f.at) > kept {
			over = append(over, name)
			h.endLocked(name, now)
		}
	}
	return over
}

// lasting are the parts whose faults end only when that is said.
var lasting = map[string]bool{"watches": true, "events": true, "intake": true, "outcomes": true, "prepare": true}

func (h *health) endLocked(name string, now time.Time) {
	if _, faulty := h.partial[name]; !faulty {
		return
	}
	if delete(h.partial, name); len(h.partial) == 0 && h.state == StateOK {
		h.since = now.UTC()
	}
}

// Status returns where the watcher stands. Safe for concurrent use.
func (w *Watcher) Status() Status {
	s := Status{Path: w.cfg.Path, Source: w.cfg.Source}
	w.health.mu.Lock()
	s.State, s.Reason, s.Since, s.Mode = w.health.state, w.health.reason, w.health.since, w.health.mode
	for _, f := range w.health.partial {
		s.State = StateDegraded
		if s.Reason == "" || f.reason < s.Reason {
			s.Reason = f.reason
		}
	}
	w.health.mu.Unlock()
	s.Pending = int(w.pendingCount.Load())
	s.InFlight, s.Oldest, s.Held = w.flight.summary()
	s.Scanned, s.Claimed, s.Finished = w.scanned.Load(), w.claims.Load(), w.finishes.Load()
	if t := w.oldestPending.Load(); t != 0 {
		s.Waiting = time.Unix(0, t).UTC()
	}
	if t := w.lastScan.Load(); t != 0 {
		s.LastScan = time.Unix(0, t).UTC()
	}
	return s
}
