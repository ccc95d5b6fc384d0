package testkit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/results"
	"backburn/wildfire"
)

// Chaos drops files into a site while the processes that serve it are killed, one after the
// other, at random, and started again. With Freeze, some are stopped for a while instead, as by a
// paused virtual machine: they continue as if no time had passed.
type Chaos struct {
	Site     *Site
	Files    []File
	Members  []Member
	NATS     string        // address to read the events from
	Every    time.Duration // mean time between two kills
	Storm    time.Duration // longest time for dropping files and killing processes
	Freeze   time.Duration // longest time for which a process is frozen; 0: processes are only killed
	Seed     uint64
	LogEvery time.Duration // interval for logging the progress; 0: never
}

// Member is a process that is kept running.
type Member struct {
	Role    string // kills are counted by this name
	Program string
	Args    []string
	Leads   func(jetstream.JetStream) bool // only kill a process of the role for which this returns true; nil: any

	process *Process
	back    time.Time // when to start it again after a kill
	thaw    time.Time // when a frozen process continues; zero if it is not frozen
}

// Figures are the results of a Chaos.
type Figures struct {
	Files, Distinct  int
	Kills            map[string]int // by role
	Freezes          map[string]int // by role
	EndedThemselves  int            // processes that found no server and were restarted
	InStorm          int            // files with a final event at the time of the last kill
	Took             time.Duration
	Uploads, Excess  int // uploads accepted by WildFire, and repeated uploads of the same contents
	Tries            int // calls of submit/file, including broken ones
	Finals           int // messages
	DistinctFinalIDs int
}

func (f Figures) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d files, %d distinct contents, in %s\n", f.Files, f.Distinct, f.Took.Round(time.Second/10))
	fmt.Fprintf(&b, "kills: %v, freezes: %v, ended by themselves and were started again: %d\n", f.Kills, f.Freezes, f.EndedThemselves)
	fmt.Fprintf(&b, "final events: %d messages, %d ids, of which %d while processes were killed\n", f.Finals, f.DistinctFinalIDs, f.InStorm)
	fmt.Fprintf(&b, "uploads: %d accepted, %.4f for each contents (%d more than once); %d tries", f.Uploads, float64(f.Uploads)/float64(f.Distinct), f.Excess, f.Tries)

	return b.String()
}

// Run runs the Chaos and returns the figures. It requires exactly one final event with one ID for
// every file, and an empty folder at the end. The caller checks the uploads.
func (c *Chaos) Run() Figures {
	t := c.Site.t
	t.Helper()
	began := time.Now()
	rnd := rand.New(rand.NewPCG(c.Seed, 1))
	f := Figures{Files: len(c.Files), Kills: map[string]int{}, Freezes: map[string]int{}}
	c.begin("nats server is up", func(m *Member) bool { return m.Program == "nats" })
	c.begin("ready", func(m *Member) bool { return m.Program != "nats" })
	js := c.Site.Connect(c.NATS)
	var decided atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var watching, dropping sync.WaitGroup
	watching.Go(func() { c.count(ctx, js, &decided) })
	watching.Go(func() { c.logProgress(ctx, began, &decided) })
	dropping.Go(func() { c.drop(ctx) })
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	undecided := func() bool { return int(decided.Load()) < len(c.Files) }
	for next := began; undecided() && time.Since(began) < c.Storm; c.await(look) {
		c.revive(&f)
		if now := time.Now(); now.After(next) {
			if next != began {
				c.strike(rnd, js, &f)
			}

			next = now.Add(c.Every/2 + time.Duration(rnd.Int64N(int64(c.Every))))
		}
	}

	f.InStorm = int(decided.Load())
	dropping.Wait()
	for c.revive(&f); undecided(); c.revive(&f) {
		if time.Since(began) > c.Storm+3*Patience {
			t.Errorf("%d of %d files have a final event", decided.Load(), len(c.Files))
			break
		}

		c.await(look)
	}

	cancel()
	watching.Wait()
	f.Took = time.Since(began)
	c.judge(js, &f)

	return f
}

// await waits until the next check of the processes.
func (c *Chaos) await(look *time.Ticker) {
	select {
	case <-look.C:
	case <-c.Site.t.Context().Done():
		c.Site.t.Fatal("interrupted")
	}
}

// begin starts some members together, and waits until each has logged that it is ready.
func (c *Chaos) begin(logged string, which func(*Member) bool) {
	for _, then := range []func(*Member){c.start, func(m *Member) { m.process.Logged(logged) }} {
		for i := range c.Members {
			if m := &c.Members[i]; which(m) {
				then(m)
			}
		}
	}
}

func (c *Chaos) start(m *Member) { m.process = c.Site.Start(m.Program, m.Args...) }

// count counts files with a final event, even while the server is killed.
func (c *Chaos) count(ctx context.Context, js jetstream.JetStream, decided *atomic.Int64) {
	paths := map[string]bool{}
	for ctx.Err() == nil {
		_ = results.NewSubscriber(js, results.SubscriberConfig{}).Run(ctx, func(_ context.Context, e results.Event) error {
			if e.Type.Final() {
				paths[pathOf(e)] = true
				decided.Store(int64(len(paths)))
			}

			return nil
		})
		_ = pipeline.Sleep(ctx, 200*time.Millisecond)
	}
}

// logProgress logs at intervals how many files have a final event.
func (c *Chaos) logProgress(ctx context.Context, began time.Time, decided *atomic.Int64) {
	for c.LogEvery > 0 && pipeline.Sleep(ctx, c.LogEvery) == nil {
		c.Site.t.Logf("%s: %d of %d files have a final event", time.Since(began).Round(time.Second), decided.Load(), len(c.Files))
	}
}

// drop spreads the files over the first four fifths of the run.
func (c *Chaos) drop(ctx context.Context) {
	const batches = 40
	tick := time.NewTicker(c.Storm * 4 / 5 / batches)
	defer tick.Stop()
	for i := range batches {
		c.Site.Drop(c.Files[i*len(c.Files)/batches : (i+1)*len(c.Files)/batches]...)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// strike kills or freezes the next process, if that is allowed.
func (c *Chaos) strike(rnd *rand.Rand, js jetstream.JetStream, f *Figures) {
	m := &c.Members[rnd.IntN(len(c.Members))]
	if m.Leads != nil { // it stands for its role
		at := slices.IndexFunc(c.Members, func(o Member) bool { return o.Role == m.Role && o.Leads(js) })
		if at < 0 {
			return
		}
		m = &c.Members[at]
	}

	if m.process == nil {
		return
	}

	if c.Freeze > 0 && m.thaw.IsZero() && rnd.IntN(2) == 0 {
		m.process.Freeze()
		m.thaw = time.Now().Add(time.Duration(rnd.Int64N(int64(c.Freeze))))
		f.Freezes[m.Role]++
		return
	}

	m.process.Kill()
	m.process = nil
	m.back = time.Now().Add(time.Duration(rnd.Int64N(int64(c.Every))))
	m.thaw = time.Time{}
	f.Kills[m.Role]++
}

// revive restarts processes that were killed some time ago, and processes that ended because there
// was no server. Frozen processes continue when their time is over.
func (c *Chaos) revive(f *Figures) {
	for i := range c.Members {
		m := &c.Members[i]
		if !m.thaw.IsZero() && time.Now().After(m.thaw) {
			m.process.Thaw()
			m.thaw = time.Time{}
		}

		switch {
		case m.process != nil && m.process.Ended():
			m.process.Wait()
			f.EndedThemselves++
			c.start(m)
		case m.process == nil && time.Now().After(m.back):
			c.start(m)
		}
	}
}

// Up reports whether all processes of a role run.
func (c *Chaos) Up(role string) bool {
	for i := range c.Members {
		if m := &c.Members[i]; m.Role == role && (m.process == nil || m.process.Ended()) {
			return false
		}
	}
	return true
}

func (c *Chaos) judge(js jetstream.JetStream, f *Figures) {
	t := c.Site.t
	t.Helper()
	finals := Finals(t, js, len(c.Files))
	f.Finals = len(finals)
	ids := map[string]bool{}
	var once []results.Event
	for _, e := range finals {
		if !ids[e.ID()] {
			ids[e.ID()] = true
			once = append(once, e)
		}
	}

	f.DistinctFinalIDs = len(ids)
	OneEach(t, c.Files, once)
	for _, file := range distinct(c.Files) {
		n := c.Site.WildFire.UploadCount(file.SHA256())
		f.Distinct++
		f.Uploads += n
		f.Excess += max(n-1, 0)
		if n == 0 {
			t.Errorf("%q has an event, and was never uploaded", file.Name)
		}
	}

	f.Tries = c.Site.WildFire.Count(wildfire.OpSubmitFile)
	c.Site.NothingLeft(len(c.Files))
}
