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
		if want := []string{digest(0), digest(1)}; !slices.Equal(c.rechecks, want) || !slices.Equal(c.hashes, want) {
			t.Fatalf("rechecks %q and hashes %q, want %q", c.rechecks, c.hashes, want)
		}
		q.putBack(c)
	}
	if len(rechecks.queue) != 3 || rechecks.queue[2].key != digest(2) {
		t.Errorf("the list is %+v", rechecks.queue)
	}
}
