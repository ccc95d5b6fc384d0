package pipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// A source that floods a lane does not starve another one: of two that want uploads each gets
// its half, and so the small one is done long before the large one.
func TestAFloodStarvesNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Rate, f.cfg.Burst, f.cfg.Concurrency = 40, 1, 2
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
	f.work()
	f.events(10) // the hand is full of them
	for i := range few {
		f.raw(fmt.Sprint("few-", i), "mail", "few.exe", fmt.Sprint("MZ few ", i))
	}
	var floods, fews int
	f.until(func(es events) bool {
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

// Many sources with little each are served as fast as one with much: none of them keeps room for
// jobs that it has not got.
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
	f.work()
	all := f.events(sources)
	for i := range sources {
		all.one(t, fmt.Sprint("job-", i))
	}
}

// Large jobs fill a worker's hand sooner than small ones: a flood of them takes no more memory.
func TestLargeJobsAreFewInHand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Concurrency, f.cfg.ShutdownTimeout = 1, 100*time.Millisecond
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: time.Minute}})
	const size, jobs, most = 900 << 10, 120, 256 / 4 // a source's share, of which each takes four
	for i := range jobs {
		f.raw(fmt.Sprint("large-", i), "mail", "large.exe", strings.Repeat(fmt.Sprintf("%-10d", i), size/10))
	}
	f.work()
	full := 0
	f.status(func(st queue.Status) bool {
		n := st.Lanes[pipeline.Normal].InHand
		if n > most+1 { // the first is fetched before it is known
			t.Fatalf("%d jobs of %d KiB are in hand, want at most %d", n, size>>10, most)
		}
		if n > most/2 {
			full++
		}
		return full == 20
	})
}

// The server takes messages on subjects that are patterns. A consumer of such a one would have the
// jobs of all sources.
func TestAPatternIsNoSource(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i, source := range []string{"*", ">"} {
		f.publish("backburn.jobs.normal."+source, nats.Header{nats.MsgIdHdr: {fmt.Sprint(i)}, queue.HeaderFilename: {"x.exe"}}, "MZ")
	}
	f.work()
	f.raw("a", "mail", "x.exe", "MZ")
	f.raw("b", "a*b", "x.exe", "MZ")
	all := f.events(2)
	for id, want := range map[string]string{"a": "benign", "b": "invalid_job"} {
		if ev := all.one(t, id); ev.Outcome() != want {
			t.Errorf("job %s ended %s, want %s", id, ev.Outcome(), want)
		}
	}
}
