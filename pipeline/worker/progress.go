package worker

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"backburn/pipeline"
)

// Upload is an upload in progress.
type Upload struct {
	Job      string    `json:"job"`
	Filename string    `json:"filename"`
	Source   string    `json:"source"`
	Sent     int64     `json:"sent"`  // bytes
	Total    int64     `json:"total"` // bytes
	Since    time.Time `json:"since"`
}

// progress lists the uploads in progress, for status pages. It is safe for concurrent use.
type progress struct {
	mu     sync.Mutex
	active map[*upload]struct{}
}

type upload struct {
	Upload
	sent atomic.Int64
}

func newProgress() *progress { return &progress{active: map[*upload]struct{}{}} }

// start adds an upload. report is called as bytes are sent; the caller calls done when the upload
// has ended.
func (p *progress) start(j pipeline.Job, at time.Time) (report func(sent, total int64), done func()) {
	u := &upload{Upload: Upload{
		Job:      j.ID,
		Filename: j.Filename,
		Source:   j.Source,
		Total:    j.Size,
		Since:    at.UTC(),
	}}
	p.mu.Lock()
	p.active[u] = struct{}{}
	p.mu.Unlock()
	return func(sent, _ int64) { u.sent.Store(sent) }, func() {
		p.mu.Lock()
		delete(p.active, u)
		p.mu.Unlock()
	}
}

// list returns the uploads in progress, the oldest first.
func (p *progress) list() []Upload {
	p.mu.Lock()
	defer p.mu.Unlock()

	out := make([]Upload, 0, len(p.active))
	for u := range p.active {
		v := u.Upload
		v.Sent = u.sent.Load()
		out = append(out, v)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Since.Before(out[j].Since) })
	return out
}
