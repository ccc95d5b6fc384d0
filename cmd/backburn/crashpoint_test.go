//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
	"backburn/wildfire/wildfiretest"
)

// changesFileData reports whether a message to a subject changes the queue's data about files.
func changesFileData(subject string) bool {
	if strings.HasPrefix(subject, "backburn.ledger.sample.probe-") {
		return false
	}
	for _, kind := range []string{
		"backburn.jobs.", "backburn.requeue.", "backburn.ledger.", "backburn.results.", "backburn.dead.",
		"$JS.ACK.BACKBURN_JOBS.",
	} {
		if strings.HasPrefix(subject, kind) {
			return true
		}
	}

	return false
}

// A process is killed at each message that it writes about files, in turn: before the message
// reaches the server, and after it is stored but before the answer arrives. In each case the next
// process publishes one event for each file, and WildFire gets its contents once.
func TestKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	file := testkit.File{Name: "invoice.exe", Body: []byte("MZ an invoice"), Verdict: "benign"}
	for name, k := range map[string]crashCases{
		"two alike":                   {files: []testkit.File{file, {Name: "copy.exe", Body: file.Body, Verdict: "benign"}}},
		"a refused one, and it syncs": {sync: true, files: []testkit.File{{Name: "notes.unsupported", Body: []byte("what is it"), Verdict: "unsupported_type"}}},
	} {
		t.Run(name, k.runAll)
	}
}

// crashCases describes kills of a process that is working on some files.
type crashCases struct {
	files []testkit.File
	sync  bool // the server writes to the disk before it answers
}

func (k crashCases) runAll(t *testing.T) {
	t.Parallel()
	whole := newCrashSite(t, k)
	whole.wire.Count(changesFileData)
	whole.Drop(k.files...)
	whole.checkResults()
	writes := whole.wire.Seen()
	if len(writes) < 5 {
		t.Fatalf("only %d messages about the files: %q", len(writes), writes)
	}

	t.Logf("%d messages: %s", len(writes), strings.Join(writes, ", "))

	// Most of the time is spent waiting for the lease of the killed process to expire.
	turns := make(chan struct{}, 6)
	var all sync.WaitGroup
	for n := range len(writes) {
		for _, stored := range []bool{false, true} {
			all.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				t.Run(fmt.Sprintf("write %d, stored %v", n+1, stored), func(t *testing.T) { k.runOne(t, n+1, stored) })
			})
		}
	}

	all.Wait()
}

// runOne kills the process at the nth write. If the process needs fewer writes, because it batches
// them, it is killed after the last one.
func (k crashCases) runOne(t *testing.T, n int, stored bool) {
	c := newCrashSite(t, k)
	cut := c.wire.CutAt(n, stored, changesFileData)
	c.Drop(k.files...)
	done := func() bool {
		select {
		case <-cut:
			return true
		default:
			return len(c.Left()) == 0
		}
	}
	c.Until("the last write", done)
	c.process.Kill()

	c.Configure(testkit.Settings{"nats.url": c.server, "nats.embedded.enabled": false})
	c.process = c.Start("backburn", "run")
	c.process.Logged("ready")
	c.checkResults()
}

// crashSite is a site whose one process reaches the NATS server through a recording proxy.
type crashSite struct {
	*testkit.Site
	t       *testing.T
	crashes crashCases
	server  string
	wire    *testkit.Wire
	process *testkit.Process
}

func newCrashSite(t *testing.T, k crashCases) *crashSite {
	t.Helper()
	c := &crashSite{t: t, crashes: k, Site: testkit.NewSite(t, wildfiretest.WithDelay(100*time.Millisecond))}
	c.server = testkit.StartNATS(t, &server.Options{SyncAlways: k.sync}).ClientURL()
	c.wire = testkit.NewWire(t, c.server)
	c.Configure(testkit.Settings{"nats.url": c.wire.URL(), "nats.embedded.enabled": false})
	c.process = c.Start("backburn", "run")
	c.process.Logged("ready")

	return c
}

// checkResults requires one final event for each file, one upload of its contents, and an empty
// folder.
func (c *crashSite) checkResults() {
	c.t.Helper()
	files := c.crashes.files
	testkit.OneEach(c.t, files, testkit.Finals(c.t, c.Connect(c.server), len(files)))
	c.NothingLeft(len(files))
	c.OnceUploaded(slices.DeleteFunc(slices.Clone(files), func(f testkit.File) bool { return f.Verdict == "unsupported_type" }))
	c.process.Stop()
}
