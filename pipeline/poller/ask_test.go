package poller

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"backburn/pipeline"
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
		if want := []string{digest(0), digest(1)}; !slices.Equal(c.rechecks, want) || !slices.Equal(c.hashes, want) {
			t.Fatalf("rechecks %q and hashes %q, want %q", c.rechecks, c.hashes, want)
		}
		q.putBack(c)
	}
	if len(rechecks.queue) != 3 || rechecks.queue[2].key != digest(2) {
		t.Errorf("the list is %+v", rechecks.queue)
	}
}
