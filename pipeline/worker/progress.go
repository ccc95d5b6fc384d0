package worker

import (
	"slices"
	"sync"
	"time"

	"backburn/pipeline"
)

// Upload is a file upload in progress. Uploads of links are not listed.
type Upload struct {
	Job      string    `json:"job"`
	Filename string    `json:"filename"`
	Source   string    `json:"source"`
	Sent     int64     `json:"sent"`  // bytes
	Total    int64     `json:"total"` // bytes
	Since    time.Time `json:"since"`
}

// progress lists the file uploads in progress, for status pages. It is safe for concurrent use.
type progress struct {
	mu     sync.Mutex
	active map[*Upload]struct{}
}

// start adds an upload. report is called as bytes are sent; the caller calls done when the upload
// has ended.
func (p *progress) start(j pipeline.Job, at time.Time) (report func(sent, total int64), done func()) {
	u := &Upload{
		Job:      j.ID,
		Filename: j.Filename,
		Source:   j.Source,
		Total:    j.Size,
		Since:    at.UTC(),
	}
	locked := func(change func()) {
		p.mu.Lock()
		defer p.mu.Unlock()
		change()
	}
	locked(func() { p.active[u] = struct{}{} })

	return func(sent, _ int64) { locked(func() { u.Sent = sent }) }, func() { locked(func() { delete(p.active, u) }) }
}

// list returns the uploads in progress, the oldest first.
func (p *progress) list() []Upload {
	p.mu.Lock()
	defer p.mu.Unlock()

	out := make([]Upload, 0, len(p.active))
	for u := range p.active {
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b Upload) int { return a.Since.Compare(b.Since) })

	return out
}
