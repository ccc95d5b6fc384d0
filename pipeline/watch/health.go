package watch

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// health is the state of the folder. It is the one place where that is known: the metric, Status
// and what is shown of readiness are made from it.
type health struct {
	degraded prometheus.Gauge // 1 while the state is not ok; may be nil

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
	defer h.showLocked()

	if h.state != state {
		h.since = time.Now().UTC()
	}
	news := h.state != state || h.reason != reason
	h.state = state
	h.reason = reason
	if state == StateDegraded {
		clear(h.partial)
	}

	return news
}

// watches notes how the folder is watched.
func (h *health) watches(mode string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mode = mode
}

// part notes a fault in a part of the folder, or with reason "" its end, and reports whether
// that is worth a line in the log.
func (h *health) part(name, reason string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.showLocked()

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

// expire ends the faults that have not occurred for a while, and returns their parts. Whatever
// can succeed ends its fault by that; this is for what was given up, such as a file that was
// removed.
func (h *health) expire(kept time.Duration) (over []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.showLocked()

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
var lasting = map[string]bool{
	"watches":  true,
	"events":   true,
	"intake":   true,
	"outcomes": true,
	"prepare":  true,
	"space":    true,
	"janitor":  true,
	"scan":     true,
	"mount":    true,
	"queue":    true,
}

func (h *health) endLocked(name string, now time.Time) {
	if _, faulty := h.partial[name]; !faulty {
		return
	}
	delete(h.partial, name)
	if len(h.partial) == 0 && h.state == StateOK {
		h.since = now.UTC()
	}
}

// view is the state as a whole, with the first reason that there is.
func (h *health) view() (state, reason string, since time.Time, mode string) {
	h.mu.Lock()
	defer h.mu.Unlock()

	state = h.stateLocked()
	reason = h.reason
	for _, f := range h.partial {
		if reason == "" || f.reason < reason {
			reason = f.reason
		}
	}

	return state, reason, h.since, h.mode
}

func (h *health) stateLocked() string {
	if len(h.partial) > 0 {
		return StateDegraded
	}

	return h.state
}

// showLocked brings the metric up to date.
func (h *health) showLocked() {
	if h.degraded == nil {
		return
	}
	v := 0.0
	if h.stateLocked() != StateOK {
		v = 1
	}
	h.degraded.Set(v)
}
