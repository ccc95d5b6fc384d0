package poller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire"
)

// Any number of files does not keep WildFire from being asked about links, nor the reverse.
func TestFilesAndLinksTakeTurns(t *testing.T) {
	t.Parallel()
	b := newQuerier()
	links, files := 0, 0
	for i := range 100 {
		for range 600 { // more than a call takes
			key := fmt.Sprint(i, len(b.questions))
			b.questions[key] = &workerQuestion{Question: Question{Key: key}}
		}
		e := b.list.add(idOf(t, pipeline.LinkKey(fmt.Sprint(i))), waitingJob{name: fmt.Sprint("mail.", i), seq: uint64(i), rank: 0}, time.Now())
		b.list.toAsk[e] = struct{}{}
		c := b.nextCall()
		if c.link != nil {
			if links++; len(c.awaited) != 1 || len(c.hashes) != 0 || !c.urgent {
				t.Fatalf("a link's call is %+v", c)
			}
		} else if files++; len(c.hashes) != wildfire.MaxHashes || len(c.awaited) != 0 {
			t.Fatalf("a call of %d hashes and %d that are due", len(c.hashes), len(c.awaited))
		}
		for key, a := range b.questions {
			if a.inCall {
				delete(b.questions, key)
			}
		}
	}
	if links != 50 || files != 50 {
		t.Errorf("%d calls for links and %d for files", links, files)
	}
}

// A source with many links, even urgent ones, does not keep those of another source waiting.
func TestLinksOfSourcesTakeTurns(t *testing.T) {
	t.Parallel()
	link := func(source string, i int) string { return fmt.Sprintf("http://%s.example/%d", source, i) }
	for name, add := range map[string]func(b *querier, source string, i int){
		"questions of workers": func(b *querier, source string, i int) {
			url := link(source, i)
			qn := Question{Key: pipeline.LinkKey(url), URL: url, Urgent: source == "flood", Sources: []string{source}}
			b.questions[qn.Key] = &workerQuestion{Question: qn}
		},
		"links that jobs wait for": func(b *querier, source string, i int) {
			e := b.list.add(idOf(t, pipeline.LinkKey(link(source, i))), waitingJob{name: fmt.Sprint(source, ".", i), seq: uint64(i), rank: 0}, time.Now())
			b.list.toAsk[e] = struct{}{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newQuerier()
			of := map[string]string{} // sources by key
			for i := range 1000 {
				add(b, "flood", i)
				of[pipeline.LinkKey(link("flood", i))] = "flood"
			}
			for i := range 5 {
				add(b, "mail", 2000+i)
				of[pipeline.LinkKey(link("mail", 2000+i))] = "mail"
			}

			calls := map[string]int{}
			for range 10 {
				c := b.nextCall()
				calls[of[c.link.Key]]++
				delete(b.questions, c.link.Key)
			}
			if calls["mail"] != 5 || calls["flood"] != 5 {
				t.Errorf("calls %v, want 5 of each", calls)
			}
		})
	}
}

func newQuerier() *querier {
	s := &shared{
		Deps: Deps{Now: time.Now, Settings: pipeline.NewSettings(pipeline.DefaultConfig())},
		list: newWaitlist(),
	}

	return &querier{shared: s, rechecker: &rechecker{shared: s}, questions: map[string]*workerQuestion{}}
}

// After a failed call, the verdicts that were to be rechecked in it are rechecked in the next one.
func TestRechecksOfAFailedCallAreRepeated(t *testing.T) {
	t.Parallel()
	q := newQuerier()
	now := time.Now()
	rechecks := &q.rechecker.rechecks
	rechecks.after = time.Hour
	for i := range 3 {
		rechecks.update(digest(i), pipeline.Sample{State: pipeline.StateVerdict, CheckedAt: now.Add(time.Duration(i-2) * time.Hour)})
	}

	for range 2 { // the third one is not due yet
		c := q.nextCall()
		if want := []string{digest(0), digest(1)}; len(c.rechecks) != 2 || !slices.Equal(c.hashes, want) {
			t.Fatalf("rechecks %+v and hashes %q, want %q", c.rechecks, c.hashes, want)
		}
		q.putBack(c)
	}
	if len(rechecks.queue) != 3 || rechecks.queue[2].key != digest(2) {
		t.Errorf("the list is %+v", rechecks.queue)
	}
}

// A worker asks for a recheck while a call asks about the same sample. The answer of that call is
// the recheck.
func TestARecheckDuringACall(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.querier.questions = map[string]*workerQuestion{}
	ask := func(qn Question) {
		body, err := json.Marshal([]Question{qn})
		if err != nil {
			t.Fatal(err)
		}
		f.querier.receive(&nats.Msg{Reply: "inbox", Data: body})
	}
	ask(Question{Key: digest(1)})
	if c := f.querier.nextCall(); len(c.hashes) != 1 {
		t.Fatalf("the call asks about %d samples", len(c.hashes))
	}
	ask(Question{Key: digest(1), Recheck: true})

	if again := f.querier.reply(nil); !slices.Equal(again, []string{digest(1)}) {
		t.Errorf("rechecked: %q", again)
	}
}

// A sample's record changes while a call asks about the sample. If the call fails, the record is
// read before the next call, which may be hours later.
func TestAChangeDuringAFailedCall(t *testing.T) {
	t.Parallel()
	q := newQuerier()
	e := q.list.add(idOf(t, digest(1)), waitingJob{name: "mail.a", seq: 1}, time.Now())
	e.pending = true
	q.list.toAsk[e] = struct{}{}
	c := q.nextHashCall()
	f := &finisher{shared: q.shared}
	f.sampleChanged(&nats.Msg{Data: []byte(digest(1))})

	q.putBack(c)

	if next := q.list.pop(time.Now()); next != e || e.pending || len(q.list.toAsk) != 0 {
		t.Errorf("the sample that is due is %+v, and %d samples are asked about", next, len(q.list.toAsk))
	}
}

// verdicts is a VerdictClient that counts its calls and knows nothing.
type verdicts struct {
	calls int
	err   error // of each call
}

func (v *verdicts) Verdicts(context.Context, []string) ([]wildfire.VerdictRecord, error) {
	v.calls++

	return nil, v.err
}

func (v *verdicts) URLVerdict(context.Context, string) (wildfire.VerdictRecord, error) {
	v.calls++

	return wildfire.VerdictRecord{}, v.err
}

// If what was to be asked about ends before the call, no call is made. So nothing is known about
// WildFire, and a pause in doubt goes on.
func TestNoCallWithoutAQuestion(t *testing.T) {
	t.Parallel()
	wf := &verdicts{}
	f := newFixture(t, wf)
	link := f.list.add(idOf(t, pipeline.LinkKey("https://example.com/")), waitingJob{name: "proxy.gone", seq: 1}, time.Now())
	f.list.toAsk[link] = struct{}{}
	if err := f.Pauses.PauseInDoubt(t.Context(), pipeline.Queries, "refused"); err != nil {
		t.Fatal(err)
	}

	for range 3 { // one for the link, whose job no longer waits, and others for nothing
		if err := f.querier.askOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	if _, paused, _ := f.Pauses.Active(pipeline.Queries); wf.calls != 0 || !paused {
		t.Errorf("%d calls; paused: %t", wf.calls, paused)
	}
	if f.list.next().IsZero() {
		t.Error("the link is forgotten")
	}
}

// WildFire's answer about withheld contents may leave out the sample. WildFire is asked again later
// all the same.
func TestWithheldContentsWithoutARecord(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &verdicts{})
	key := digest(1)
	before := time.Now().Add(-time.Hour).UTC()
	s := queue.SampleEntry{Key: key, Sample: pipeline.Sample{WithheldAt: before, CheckedAt: before}}
	if err := f.Queue.Ledger().Commit(t.Context(), f.Queue.Ledger().SampleUpdate(s)); err != nil {
		t.Fatal(err)
	}
	f.rechecker.rechecks = newRechecks(time.Minute, time.Now().Add(-2*time.Hour))
	f.rechecker.update(key, s.Sample)

	if err := f.querier.askOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.tasks.Wait()

	if s, err := f.Queue.Ledger().Sample(t.Context(), key); err != nil || !s.CheckedAt.After(before) {
		t.Errorf("the sample was last checked at %s, %v", s.CheckedAt, err)
	}
}

// A key that WildFire would not accept as a hash does not make calls about others fail.
func TestAQuestionWithoutAHash(t *testing.T) {
	t.Parallel()
	q := newQuerier()
	body, err := json.Marshal([]Question{{Key: "http://example.com/x", Recheck: true}, {Key: digest(1)}})
	if err != nil {
		t.Fatal(err)
	}
	q.receive(&nats.Msg{Reply: "inbox", Data: body})
	if c := q.nextCall(); !slices.Equal(c.hashes, []string{digest(1)}) {
		t.Errorf("the call asks about %q", c.hashes)
	}
}

// The last job that waits for a link ends just before a call for the link.
func TestACallForALinkWithoutJobs(t *testing.T) {
	t.Parallel()
	q := newQuerier()
	key := pipeline.LinkKey("https://example.com/")
	c := call{link: &Question{Key: key}, awaited: map[string]*waitingSample{key: {}}}
	if err := q.addURL(t.Context(), &c); err != nil || !c.isEmpty() {
		t.Errorf("the call asks about %q, %v", c.link.URL, err)
	}
}

// counter is a counter that can be read.
type counter struct {
	prometheus.Counter
	value int
}

func (c *counter) Inc() { c.value++ }

// Only calls are counted as failed calls. If the budget cannot be written, none is made.
func TestFailedCallsAreCounted(t *testing.T) {
	t.Parallel()
	wf := &verdicts{err: wildfire.ErrUnavailable}
	f := newFixture(t, wf)
	failed := &counter{}
	f.Metrics.Failed = failed
	f.Queries.SetLimit(10, 0)
	ask := func() {
		t.Helper()
		f.querier.questions = map[string]*workerQuestion{digest(1): {Question: Question{Key: digest(1)}}}
		err := f.querier.askOnce(t.Context())
		if err == nil {
			t.Fatal("the call succeeds")
		}
		f.querier.afterQueryError(t.Context(), err)
	}

	accept := f.refuse("KV_" + f.Queue.ControlBucket())
	ask()
	if wf.calls != 0 || failed.value != 0 {
		t.Errorf("%d calls, and %d are counted as failed", wf.calls, failed.value)
	}

	accept()
	ask()
	if wf.calls != 1 || failed.value != 1 {
		t.Errorf("%d calls, and %d are counted as failed, want 1", wf.calls, failed.value)
	}
}
