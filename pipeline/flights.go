package pipeline

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// Flight is an upload in progress.
type Flight struct {
	Job      string    `json:"job"`
	Filename string    `json:"filename"`
	Source   string    `json:"source"`
	Sent     int64     `json:"sent"`  // bytes
	Total    int64     `json:"total"` // bytes
	Since    time.Time `json:"since"`
}

// flights keeps what is being uploaded now, for those who look.
type flights struct {
	mu  sync.Mutex
	now map[*flight]struct{}
}

type flight struct {
	Flight
	sent atomic.Int64
}

func newFlights() *flights { return &flights{now: map[*flight]struct{}{}} }

// start notes an upload; progress is for its transport, landed for its end.
func (f *flights) start(j Job, at time.Time) (progress func(sent, total int64), landed func()) {
	fl := &flight{Flight: Flight{Job: j.ID, Filename: j.Filename, Source: j.Source, Total: j.Size, Since: at.UTC()}}
	f.mu.Lock()
	f.now[fl] = struct{}{}
	f.mu.Unlock()
	return func(sent, _ int64) { fl.sent.Store(sent) }, func() {
		f.mu.Lock()
		delete(f.now, fl)
		f.mu.Unlock()
	}
}

// list returns the uploads in progress, the oldest first.
func (f *flights) list() []Flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Flight, 0, len(f.now))
	for fl := range f.now {
		v := fl.Flight
		v.Sent = fl.sent.Load()
		out = append(out, v)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Since.Before(out[j].Since) })
	return out
}
