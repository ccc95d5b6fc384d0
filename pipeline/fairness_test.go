package pipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// A source that floods a lane does not starve another one. Each of the two gets half of the
// uploads, so the small one is done long before the large one.
func TestAFloodStarvesNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Rate = 40
	f.cfg.Burst = 1
	f.cfg.Concurrency = 2
	const flood, few = 2000, 20
	js := f.q.JetStream()
	for i := range flood {
		m := &nats.Msg{Subject: "backburn.jobs.normal.flood", Data: fmt.Append(nil, "MZ flood ", i), Header: nats.Header{
			nats.MsgIdHdr: {fmt.Sprint("flood-", i)}, queue.HeaderFilename: {"flood.exe"},
		}}
		if _, err := js.PublishMsgAsync(m); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	f.startWorker()
	f.waitEvents(10) // the worker holds as many of them as it may
	for i := range few {
		f.submitRaw(fmt.Sprint("few-", i), "mail", "few.exe", fmt.Sprint("MZ few ", i))
	}
	var floods, fews int
	f.waitEventsUntil(func(es events) bool {
		floods, fews = 0, 0
		for _, e := range es.final() {
			if e.Data.Source == "mail" {
				fews++
			} else {
				floods++
			}
		}
		return fews == few
	})
	if floods > flood/10 {
		t.Errorf("%d of %d jobs of the flood were done before the %d others, which came after the first ten", floods, flood, few)
	}
}

// Many sources with few jobs each are served as fast as one with many: no source reserves room for
// jobs that it does not have.
func TestManySources(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const sources = 500
	js := f.q.JetStream()
	for i := range sources {
		m := &nats.Msg{Subject: fmt.Sprint("backburn.jobs.normal.source-", i), Data: []byte("MZ"), Header: nats.Header{
			nats.MsgIdHdr: {fmt.Sprint("job-", i)}, queue.HeaderFilename: {"x.exe"},
		}}
		if _, err := js.PublishMsgAsync(m); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	f.startWorker()
	all := f.waitEvents(sources)
	for i := range sources {
		all.onlyOf(t, fmt.Sprint("job-", i))
	}
}

// A worker holds fewer large jobs than small ones, so a flood of large ones takes no more memory.
func TestFewLargeJobsAreHeld(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Concurrency, f.cfg.ShutdownTimeout = 1, 100*time.Millisecond
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: time.Minute}})
	const (
		size = 900 << 10
		jobs = 120
		most = 256 / 4 // the share of a source; each job takes four places
	)
	for i := range jobs {
		f.submitRaw(fmt.Sprint("large-", i), "mail", "large.exe", strings.Repeat(fmt.Sprintf("%-10d", i), size/10))
	}
	f.startWorker()
	full := 0
	f.waitStatus(func(st queue.Status) bool {
		n := st.Lanes[pipeline.Normal].Held
		if n > most+1 { // the first one is fetched before its size is known
			t.Fatalf("the worker holds %d jobs of %d KiB, want at most %d", n, size>>10, most)
		}
		if n > most/2 {
			full++
		}
		return full == 20
	})
}

// The server accepts messages on subjects that are patterns. A consumer for such a subject would
// get the jobs of all sources.
func TestAPatternIsNoSource(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i, source := range []string{"*", ">"} {
		f.publish("backburn.jobs.normal."+source, nats.Header{nats.MsgIdHdr: {fmt.Sprint(i)}, queue.HeaderFilename: {"x.exe"}}, "MZ")
	}
	f.startWorker()
	f.submitRaw("a", "mail", "x.exe", "MZ")
	f.submitRaw("b", "a*b", "x.exe", "MZ")
	f.submitRaw("c", results.AuditSource, "x.exe", "MZ") // events about what people do have this source
	all := f.waitEvents(3)
	for id, want := range map[string]string{"a": "benign", "b": "invalid_job", "c": "invalid_job"} {
		if ev := all.onlyOf(t, id); ev.Outcome() != want {
			t.Errorf("job %s ended %s, want %s", id, ev.Outcome(), want)
		}
	}
}

// uploadsBySource counts the uploads that each source got of a day's budget.
func (f *fixture) uploadsBySource() map[string]int {
	f.t.Helper()
	n := map[string]int{}
	for _, ev := range f.waitEventsUntil(func(events) bool { return true }).ofType(results.Submitted) {
		n[ev.Data.Source]++
	}

	return n
}

// The day's uploads are shared between the sources that want some, whatever and on whichever lane
// one of them submits. A source may use what another does not need.
func TestSourcesShareTheDaysUploads(t *testing.T) {
	t.Parallel()
	for name, lane := range map[string]string{"normal": "normal", "urgent": "urgent"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := clockAtNoon()
			f := newFixture(t, wildfiretest.WithNow(c.now))
			f.cfg.UploadsPerDay, f.cfg.ReservePercent = 40, 10
			f.cfg.Rate = 50
			f.cfg.Burst = 1
			f.cfg.Concurrency = 2
			for i := range 100 {
				f.publish("backburn.jobs."+lane+".flood", withID(fmt.Sprint("flood-", i), "x.exe"), fmt.Sprint("MZ flood ", i))
			}
			for i := range 30 {
				f.publish("backburn.jobs."+lane+".mail", withID(fmt.Sprint("mail-", i), "x.exe"), fmt.Sprint("MZ mail ", i))
			}
			st := f.waitStatus(func(st queue.Status) bool { return st.Queued.Jobs == 130 })
			if by := st.Lanes[pipeline.Priority(lane)].By; by["flood"] != 100 || by["mail"] != 30 {
				t.Errorf("queued by source: %v", by)
			}

			f.startWorker(worker.WithClock(c.now))
			all := 36
			if lane == "urgent" {
				all = 40
			}
			f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) == all })
			if n := f.uploadsBySource(); n["mail"] < all/2-2 || n["flood"] < all/2-2 {
				t.Errorf("uploads by source: %v, want about as many for both", n)
			}
			st = f.waitStatus(func(st queue.Status) bool { return st.Uploads.Used == all })
			if st.Uploads.By["mail"]+st.Uploads.By["flood"] != all {
				t.Errorf("status: %v", st.Uploads.By)
			}
		})
	}

	t.Run("unused shares", func(t *testing.T) {
		t.Parallel()
		c := clockAtNoon()
		f := newFixture(t, wildfiretest.WithNow(c.now))
		f.cfg.UploadsPerDay, f.cfg.ReservePercent = 40, 10
		for i := range 3 {
			f.submitRaw(fmt.Sprint("mail-", i), "mail", "x.exe", fmt.Sprint("MZ mail ", i))
		}
		f.startWorker(worker.WithClock(c.now), worker.WithTick(20*time.Millisecond))
		f.waitEvents(3)
		for i := range 100 {
			f.submitRaw(fmt.Sprint("flood-", i), "flood", "x.exe", fmt.Sprint("MZ flood ", i))
		}
		f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) >= 3+18 })
		f.waitStatus(func(st queue.Status) bool { return st.Parked.Jobs > 0 })
		if n := f.uploadsBySource(); n["flood"] != 18 {
			t.Errorf("uploads by source: %v, want 18 of the flood while the other may ask again", n)
		}
		c.advance(40 * time.Minute) // the other source has stopped asking
		f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) == 36 })
	})
}

// Jobs of a source that may not be urgent never use the reserve.
func TestASourceMayBeForbiddenUrgent(t *testing.T) {
	t.Parallel()
	c := clockAtNoon()
	f := newFixture(t, wildfiretest.WithNow(c.now))
	f.cfg.UploadsPerDay, f.cfg.ReservePercent = 10, 50
	f.cfg.UrgentSources = []string{"desk"}
	f.startWorker(worker.WithClock(c.now))
	for i := range 20 {
		f.publish("backburn.jobs.urgent.gw", withID(fmt.Sprint("gw-", i), "x.exe"), fmt.Sprint("MZ gw ", i))
	}
	f.waitStatus(func(st queue.Status) bool { return st.Parked.Jobs == 15 })
	for i := range 5 {
		f.publish("backburn.jobs.urgent.desk", withID(fmt.Sprint("desk-", i), "x.exe"), fmt.Sprint("MZ desk ", i))
	}
	f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) == 10 })
	if n := f.uploadsBySource(); n["gw"] != 5 || n["desk"] != 5 {
		t.Errorf("uploads by source: %v, want 5 of each", n)
	}
}
