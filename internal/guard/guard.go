package guard

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backburn/internal/rootfs"
)

const (
	// checkInterval is how often the files are checked at most, and how long a change may go
	// unnoticed.
	checkInterval = time.Second

	// maxFile limits how much of a file with secrets is read, in bytes.
	maxFile = 4 << 20
)

// Guard recognizes Backburn's own files and secrets. A nil Guard recognizes nothing. It is safe for
// concurrent use.
type Guard struct {
	own      []Own
	withheld *prometheus.CounterVec

	mu        sync.Mutex
	checkedAt time.Time
	files     []file // of own, in its order
	byID      map[rootfs.Identity]string
	matcher   *matcher // nil without secrets
}

// file is the file that a name of own referred to at the last check.
type file struct {
	state rootfs.State // zero: it has not existed so far
	parts [][]byte     // the texts of its secrets to look for
	short bool         // some of its secrets are too short to be recognized
}

// New makes a guard for Backburn's own files and secrets, and reads them.
func New(own []Own) *Guard {
	g := &Guard{
		withheld: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "backburn",
			Name:      "own_withheld_total",
			Help:      "Backburn's own files, and contents with its secrets, that were recognized and withheld, counted each time.",
		}, []string{"by"}),
	}
	for _, by := range []string{"file", "contents"} {
		g.withheld.WithLabelValues(by)
	}

	g.Add(own)

	return g
}

// Add adds files and secrets. Those that were added before stay.
func (g *Guard) Add(own []Own) {
	g.mu.Lock()
	defer g.mu.Unlock()

	for _, o := range own {
		var f file
		if o.Value != nil {
			f.parts, f.short = parts([]byte(o.Value()), Secrets)
		}

		known := slices.ContainsFunc(g.own, func(k Own) bool { return k.Path == o.Path && k.Holds == o.Holds })
		if o.Path == "" {
			known = slices.ContainsFunc(g.files, func(k file) bool { return slices.EqualFunc(k.parts, f.parts, bytes.Equal) })
		}
		if known {
			continue
		}

		g.own = append(g.own, o)
		g.files = append(g.files, f)
	}

	g.checkedAt = time.Time{} // so that the new ones count even if no file has changed
	g.checkLocked()
}

// Format implements fmt.Formatter: a guard shows none of its data.
func (g *Guard) Format(to fmt.State, _ rune) { _, _ = io.WriteString(to, "guard") }

// Describe implements prometheus.Collector.
func (g *Guard) Describe(to chan<- *prometheus.Desc) { g.withheld.Describe(to) }

// Collect implements prometheus.Collector.
func (g *Guard) Collect(to chan<- prometheus.Metric) { g.withheld.Collect(to) }

// Short lists the keys of secrets that are too short to be recognized in contents.
func (g *Guard) Short() []string {
	g.mu.Lock()
	defer g.mu.Unlock()

	var keys []string
	for i, f := range g.files {
		if f.short {
			keys = append(keys, g.own[i].Key)
		}
	}

	return keys
}

// File returns an error that matches ErrOwn if a file or folder is Backburn's own.
func (g *Guard) File(id rootfs.Identity) error {
	if g == nil {
		return nil
	}

	g.mu.Lock()
	g.refreshLocked()
	key, own := g.byID[id]
	g.mu.Unlock()
	if !own {
		return nil
	}

	g.withheld.WithLabelValues("file").Inc()

	return &Error{Key: key}
}

// Path returns an error that matches ErrOwn if a name refers to one of Backburn's own files or
// folders, or to something inside such a folder. It returns nil for a name that does not exist.
func (g *Guard) Path(name string) error {
	real, err := filepath.EvalSymlinks(name)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil //nolint:nilerr // opening it returns the error
	}

	for at := real; ; at = filepath.Dir(at) {
		if st, err := rootfs.StatPath(at); err == nil {
			if err := g.File(st.Identity); err != nil {
				return err
			}
		}

		if filepath.Dir(at) == at {
			return nil
		}
	}
}

// Scan returns a scanner that looks for the current secrets in contents.
func (g *Guard) Scan() *Scan { return &Scan{m: g.current()} }

// Withheld counts contents that were withheld after the error of a Scan.
func (g *Guard) Withheld() { g.withheld.WithLabelValues("contents").Inc() }

// Reader returns contents that are scanned while they are read. It fails with an error that matches
// ErrOwn before it returns a byte of the compared part of a secret, which is its last 64 bytes, or
// all of a shorter one. Closing it closes r.
func (g *Guard) Reader(r io.ReadCloser) io.ReadCloser {
	m := g.current()
	if m == nil {
		return r
	}

	return &reader{
		r:    r,
		scan: &Scan{m: m},
		buf:  buffers.Get().(*[chunk]byte),
	}
}

// current returns the matcher of the current secrets; nil if there are none.
func (g *Guard) current() *matcher {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refreshLocked()

	return g.matcher
}

func (g *Guard) refreshLocked() {
	if time.Since(g.checkedAt) >= checkInterval {
		g.checkLocked()
	}
}

// checkLocked checks every file, and reads changed files.
func (g *Guard) checkLocked() {
	changed := g.checkedAt.IsZero()
	for i, o := range g.own {
		changed = g.files[i].update(o) || changed
	}

	g.checkedAt = time.Now()
	if !changed {
		return
	}

	g.byID = map[rootfs.Identity]string{}
	g.matcher = nil
	var texts []text
	for i, f := range g.files {
		key := g.own[i].Key
		if f.state != (rootfs.State{}) {
			g.byID[f.state.Identity] = key
		}

		for _, p := range f.parts {
			texts = append(texts, text{bytes: p, key: key})
		}
	}

	if len(texts) > 0 {
		g.matcher = newMatcher(texts)
	}
}

// update reports whether the file was replaced or changed, and then reads it again. For a file that
// is missing or unreadable at the moment, it keeps the old data.
func (f *file) update(o Own) bool {
	if o.Path == "" {
		return false
	}

	now, err := rootfs.StatPath(o.Path)
	if err != nil {
		return false
	}
	if now.Identity == f.state.Identity && (now.Stamp == f.state.Stamp || o.Holds == Nothing) {
		return false
	}

	if o.Holds != Nothing && now.Regular {
		content, err := read(o.Path)
		if err != nil {
			return false
		}

		f.parts, f.short = parts(content, o.Holds)
	}

	f.state = now

	return true
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()

	return io.ReadAll(io.LimitReader(f, maxFile))
}
