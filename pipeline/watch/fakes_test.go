package watch_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/health"
	"backburn/pipeline"
	"backburn/pipeline/watch"
	"backburn/results"
)

// testTimeout is how long tests wait before they fail; it is not a measurement.
const testTimeout = 60 * time.Second

// fakeIntake stores jobs by ID, like the real queue.
type fakeIntake struct {
	mu       sync.Mutex
	jobs     map[string]pipeline.Job
	order    []string
	repeats  int
	refuse   func(pipeline.Job) error // called first; an error refuses the job
	jobAdded chan struct{}            // closed and replaced for every new job
}

func newIntake() *fakeIntake {
	return &fakeIntake{jobs: map[string]pipeline.Job{}, jobAdded: make(chan struct{})}
}

func (i *fakeIntake) Publish(ctx context.Context, job pipeline.Job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.refuse != nil {
		if err := i.refuse(job); err != nil {
			return err
		}
	}
	if _, ok := i.jobs[job.ID]; ok {
		i.repeats++
		return nil
	}
	i.jobs[job.ID] = job
	i.order = append(i.order, job.ID)
	close(i.jobAdded)
	i.jobAdded = make(chan struct{})
	return nil
}

// loseJobs forgets all jobs, like a queue whose store was replaced.
func (i *fakeIntake) loseJobs() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.jobs)
}

// Unknown implements watch.Catalog.
func (i *fakeIntake) Unknown(_ context.Context, _ string, ids []string) (unknown []string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, id := range ids {
		if _, ok := i.jobs[id]; !ok {
			unknown = append(unknown, id)
		}
	}
	return unknown, nil
}

func (i *fakeIntake) setRefuse(f func(pipeline.Job) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refuse = f
}

// all returns the jobs in order of publication.
func (i *fakeIntake) all() []pipeline.Job {
	i.mu.Lock()
	defer i.mu.Unlock()
	var l []pipeline.Job
	for _, id := range i.order {
		l = append(l, i.jobs[id])
	}
	return l
}

// wait returns once there are n jobs.
func (i *fakeIntake) wait(t testing.TB, n int) []pipeline.Job {
	t.Helper()
	deadline := time.After(testTimeout)
	for {
		i.mu.Lock()
		have, news := len(i.order), i.jobAdded
		i.mu.Unlock()
		if have >= n {
			return i.all()
		}
		select {
		case <-news:
		case <-deadline:
			t.Fatalf("%d jobs were published, want %d", have, n)
		}
	}
}

// fakeOutcomes delivers the events that tests send, at least once.
type fakeOutcomes struct {
	mu         sync.Mutex
	events     []results.Event
	next       map[string]int // by folder ID
	folder     string         // the folder being followed
	eventAdded chan struct{}
	done       chan struct{} // closed and replaced when an event is finished
	fail       error         // if set, Follow returns it immediately
}

func newOutcomes() *fakeOutcomes {
	return &fakeOutcomes{next: map[string]int{}, eventAdded: make(chan struct{}), done: make(chan struct{})}
}

func (o *fakeOutcomes) send(events ...results.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, events...)
	close(o.eventAdded)
	o.eventAdded = make(chan struct{})
}

func (o *fakeOutcomes) Follow(ctx context.Context, _, folder string, handle func(context.Context, results.Event) error) error {
	for {
		o.mu.Lock()
		o.folder = folder
		if o.fail != nil {
			defer o.mu.Unlock()
			return o.fail
		}
		var e *results.Event
		if next := o.next[folder]; next < len(o.events) {
			e = &o.events[next]
		}
		news := o.eventAdded
		o.mu.Unlock()
		if e == nil {
			select {
			case <-news:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if err := handle(ctx, *e); err != nil {
			select {
			case <-time.After(10 * time.Millisecond):
				continue
			case <-ctx.Done():
				return nil
			}
		}
		o.mu.Lock()
		o.next[folder]++
		close(o.done)
		o.done = make(chan struct{})
		o.mu.Unlock()
	}
}

// waitHandled returns when every event has been handled.
func (o *fakeOutcomes) waitHandled(t testing.TB) {
	t.Helper()
	deadline := time.After(testTimeout)
	for {
		o.mu.Lock()
		left, done := len(o.events)-o.next[o.folder], o.done
		o.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-done:
		case <-deadline:
			t.Fatalf("%d final events were not handled", left)
		}
	}
}

// verdict returns a verdict event for a job.
func verdict(job pipeline.Job, v string) results.Event {
	return results.Event{Type: results.Verdict, Time: time.Now().UTC(), Data: results.Data{
		JobID: job.ID, Source: job.Source, Filename: job.Filename, FilenameB64: job.FilenameB64,
		Path: job.Path, PathB64: job.PathB64, SHA256: job.SHA256, Size: job.Size, Verdict: v,
	}}
}

// failure returns a failed event for a job.
func failure(job pipeline.Job, reason results.Reason) results.Event {
	e := verdict(job, "")
	e.Type = results.Failed
	e.Data.Error = &results.Error{Reason: reason, Message: "for a test"}
	return e
}

// fakeObjects is an in-memory object store.
type fakeObjects struct {
	mu      sync.Mutex
	objects map[string][]byte
	times   map[string]time.Time
	fail    error
}

func newObjects() *fakeObjects {
	return &fakeObjects{objects: map[string][]byte{}, times: map[string]time.Time{}}
}

func (o *fakeObjects) Put(_ context.Context, name string, size int64, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if int64(len(b)) != size {
		return errors.New("size differs")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return o.fail
	}
	o.objects[name], o.times[name] = b, time.Now()
	return nil
}

func (o *fakeObjects) Delete(_ context.Context, name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return o.fail
	}
	delete(o.objects, name)
	return nil
}

func (o *fakeObjects) List(_ context.Context, prefix string) ([]pipeline.ObjectInfo, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var l []pipeline.ObjectInfo
	for name := range o.objects {
		if strings.HasPrefix(name, prefix) {
			l = append(l, pipeline.ObjectInfo{Name: name, ModTime: o.times[name]})
		}
	}
	return l, nil
}

func (o *fakeObjects) get(name string) ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, ok := o.objects[name]
	return b, ok
}

// rig is a folder with a watcher that can be restarted, and the fakes that the watcher uses.
type rig struct {
	t        testing.TB
	cfg      watch.Config
	dir      string
	intake   *fakeIntake
	outcomes *fakeOutcomes
	objects  *fakeObjects
	w        *watch.Watcher
	metrics  *prometheus.Registry // of w
	stop     func()
	options  []watch.Option
}

// newRig prepares a folder. change may change the configuration, which otherwise has short times.
func newRig(t testing.TB, change func(*watch.Config)) *rig {
	t.Helper()
	r := &rig{
		t:        t,
		dir:      t.TempDir(),
		intake:   newIntake(),
		outcomes: newOutcomes(),
		objects:  newObjects(),
	}
	r.cfg = watch.DefaultConfig()
	r.cfg.Path, r.cfg.Source = r.dir, "test"
	r.cfg.Settle, r.cfg.Scan = 20*time.Millisecond, 50*time.Millisecond
	if change != nil {
		change(&r.cfg)
	}
	return r
}

// start runs a watcher until the test ends or stop is called.
func (r *rig) start(prepare ...func(*watch.Watcher)) {
	r.t.Helper()
	r.metrics = prometheus.NewRegistry()
	parts := health.New(zerolog.Nop())
	r.metrics.MustRegister(parts)
	w, err := watch.New(r.cfg, r.intake, r.outcomes, r.objects,
		append(r.options, watch.WithMetrics(r.metrics), watch.WithHealth(parts))...)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range prepare {
		p(w)
	}
	r.w = w
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				r.t.Errorf("Run: %v", err)
			}
		})
	}
	r.t.Cleanup(r.stop)
}

// metric returns the value of a counter; label selects one of its series.
func (r *rig) metric(name, label string) float64 {
	families, err := r.metrics.Gather()
	must(r.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "backburn_watch_"+name && l.GetValue() == label {
					if g := m.GetGauge(); g != nil {
						return g.GetValue()
					}
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	r.t.Errorf("no metric %s with the label %s", name, label)
	return 0
}

// faultyParts lists the folder's parts that are not ok according to the metric.
func (r *rig) faultyParts() (parts []string) {
	r.t.Helper()
	families, err := r.metrics.Gather()
	must(r.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == health.MetricName && labels["state"] != "ok" && m.GetGauge().GetValue() == 1 {
				parts = append(parts, labels["part"]+" of "+labels["of"]+" is "+labels["state"])
			}
		}
	}

	return parts
}

// gauge returns the value of a gauge.
func (r *rig) gauge(name string) float64 {
	r.t.Helper()

	return r.metric(name, r.cfg.Source)
}

// waitFor polls until a condition holds.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// path returns the path of a file in the folder.
func (r *rig) path(rel string) string { return filepath.Join(r.dir, filepath.FromSlash(rel)) }

// write creates a file in the folder, and its parent folders.
func (r *rig) write(rel, content string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.path(rel)), 0o777); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.path(rel), []byte(content), 0o666); err != nil {
		r.t.Fatal(err)
	}
}

// content returns the contents to which a job refers.
func (r *rig) content(job pipeline.Job) string {
	r.t.Helper()
	if job.Content.Object != "" {
		b, ok := r.objects.get(job.Content.Object)
		if !ok {
			r.t.Fatalf("object %q does not exist", job.Content.Object)
		}
		return string(b)
	}
	rel := job.Content.Path
	if job.Content.PathB64 != nil {
		rel = string(job.Content.PathB64)
	}
	b, err := os.ReadFile(r.path(rel))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// tree lists the files below a folder of the rig. It includes the spool if rel is in it.
func (r *rig) tree(rel string) []string {
	r.t.Helper()
	var l []string
	err := filepath.WalkDir(r.path(rel), func(p string, d os.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			if d.Name() == ".backburn" && rel == "" {
				return filepath.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(r.path(rel), p)
		l = append(l, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// afterScans returns a condition that holds after n more scans.
func afterScans(r *rig, n int) func() bool {
	last, seen := r.w.Status().LastScan, 0
	return func() bool {
		if now := r.w.Status().LastScan; now.After(last) {
			last = now
			seen++
		}
		return seen > n
	}
}

// must panics on an error. Unlike t.Fatal, it may be called from any goroutine.
func must(t testing.TB, err error) {
	if err != nil {
		t.Error(err)
		panic(err)
	}
}
