package watch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/testkit"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// queueIntake submits jobs like the program does.
type queueIntake struct{ publisher *queue.Publisher }

func (i queueIntake) Publish(ctx context.Context, j pipeline.Job) error {
	_, err := i.publisher.Submit(ctx, j, queue.Input{})

	return err
}

// A stream or a bucket is removed, purged or edited while files wait for their verdicts, and no
// process is restarted. Nevertheless every file ends with exactly one final event, and nothing is
// uploaded twice.
func TestLostJobsAreRestored(t *testing.T) {
	t.Parallel()
	remove := func(names ...string) func(*testing.T, *testkit.Pipeline) {
		return func(t *testing.T, p *testkit.Pipeline) {
			for _, name := range names {
				must(t, p.Queue.JetStream().DeleteStream(t.Context(), name))
			}
		}
	}
	purge := func(name string) func(*testing.T, *testkit.Pipeline) {
		return func(t *testing.T, p *testkit.Pipeline) {
			s, err := p.Queue.JetStream().Stream(t.Context(), name)
			must(t, err)
			must(t, s.Purge(t.Context()))
		}
	}
	edit := func(name string, change func(*jetstream.StreamConfig)) func(*testing.T, *testkit.Pipeline) {
		return func(t *testing.T, p *testkit.Pipeline) {
			s, err := p.Queue.JetStream().Stream(t.Context(), name)
			must(t, err)
			c := s.CachedInfo().Config
			change(&c)
			_, err = p.Queue.JetStream().UpdateStream(t.Context(), c)
			must(t, err)
		}
	}
	const (
		jobs    = "BACKBURN_JOBS"
		ledger  = "BACKBURN_LEDGER"
		events  = "BACKBURN_RESULTS"
		dead    = "BACKBURN_DEAD"
		control = "KV_backburn_control"
		files   = "OBJ_backburn_files"
	)

	for name, lose := range map[string]func(*testing.T, *testkit.Pipeline){
		"the ledger is purged":    purge(ledger),
		"the ledger is truncated": edit(ledger, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 10, jetstream.DiscardOld }),
		"the ledger is gone":      remove(ledger),
		"jobs are purged":         purge(jobs),
		"jobs are gone":           remove(jobs),
		"events are gone":         remove(events),
		"control is gone":         remove(control),
		"contents are gone":       remove(files),
		"everything is gone":      remove(jobs, ledger, events, dead, control, files),
	} {
		transfer := watch.TransferPath
		if name == "contents are gone" || name == "everything is gone" {
			transfer = watch.TransferObject
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLossFixture(t, transfer)
			lose(t, l.Pipeline)
			l.setVerdicts()
			l.waitFinished()
		})
	}
}

// lossFixture is a watcher, a queue and a worker, with files that wait for their verdicts.
type lossFixture struct {
	*testkit.Pipeline

	t   *testing.T
	rig *rig
}

const lossFiles = 30

func lossBody(i int) string { return fmt.Sprint("MZ ", i) }

func newLossFixture(t *testing.T, transfer string) *lossFixture {
	t.Helper()
	l := &lossFixture{t: t, Pipeline: testkit.NewPipeline(t, wildfiretest.WithDelay(24*time.Hour))}
	l.rig = newRig(t, func(c *watch.Config) { c.Transfer = transfer })
	for i := range lossFiles {
		l.rig.write(fmt.Sprint("file-", i), lossBody(i))
	}
	l.Root(l.rig.cfg.Source, l.rig.dir)
	l.Work()

	w, err := watch.New(l.rig.cfg, queueIntake{l.Queue.Publisher()}, l.Queue.Events().Outcomes("test"), l.Queue.Objects(), watch.WithCatalog(l.Queue))
	must(t, err)
	w.SetReconcile(100*time.Millisecond, 100*time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-ended) })

	actx, acancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer acancel()
	must(t, l.WildFire.Wait(actx, func() bool { return l.WildFire.CountStatus(wildfire.OpSubmitFile, 200) == lossFiles }))

	return l
}

// setVerdicts sets a verdict for every file in WildFire.
func (l *lossFixture) setVerdicts() {
	l.t.Helper()
	for i := range lossFiles {
		if !l.WildFire.SetVerdict("", sum(lossBody(i)), wildfire.Malware) {
			l.t.Fatalf("WildFire has no %q", lossBody(i))
		}
	}
}

// waitFinished waits until every file is in the folder for its verdict.
func (l *lossFixture) waitFinished() {
	l.t.Helper()
	done := func() int {
		entries, _ := os.ReadDir(filepath.Join(l.rig.dir, ".backburn/done/malware")) // at first there is no such folder
		return len(entries)
	}
	for end := time.Now().Add(testkit.Patience); done() < lossFiles; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("%d of %d files are finished", done(), lossFiles)
		}
	}

	for i := range lossFiles {
		if n := l.WildFire.UploadCount(sum(lossBody(i))); n != 1 {
			l.t.Errorf("file-%d was uploaded %d times", i, n)
		}
	}
	ended := map[string]string{}
	for _, e := range l.Finals(l.rig.cfg.Source, lossFiles) {
		if before := ended[e.Data.JobID]; before != "" && before != e.ID() {
			l.t.Errorf("job %s ended as %s, and as %s", e.Data.JobID, before, e.ID())
		}
		ended[e.Data.JobID] = e.ID()
		if e.Type != results.Verdict || e.Data.Verdict != "malware" {
			l.t.Errorf("%s: %s %+v", e.ID(), e.Outcome(), e.Data.Error)
		}
	}
	if len(ended) != lossFiles {
		l.t.Errorf("%d jobs have a final event", len(ended))
	}
}
