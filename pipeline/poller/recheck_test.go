package poller

import (
	"slices"
	"testing"
	"time"

	"backburn/pipeline"
	"backburn/results"
	"backburn/wildfire"
)

// Samples are rechecked in the order in which they are due, and each once, in whatever order their
// records are read.
func TestRechecksAreInOrder(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r := newRechecks(time.Hour, now)
	update := func(i int) bool {
		return r.update(digest(i), pipeline.Sample{State: pipeline.StateVerdict, CheckedAt: now.Add(time.Duration(i) * time.Minute)})
	}
	for n, i := range []int{3, 1, 4, 1, 5, 2, 5} {
		if first := update(i); first != (n == 0 || i == 1) {
			t.Errorf("sample %d is first: %t", i, first)
		}
	}

	var keys []string
	taken := r.take(now.Add(time.Hour+3*time.Minute), 10)
	for _, one := range taken {
		keys = append(keys, one.key)
	}
	if want := []string{digest(1), digest(2), digest(3)}; !slices.Equal(keys, want) {
		t.Errorf("rechecked %q, want %q", keys, want)
	}

	update(2) // its record is read again during the call
	r.putBack(taken)
	if len(r.queue) != 5 || !slices.IsSortedFunc(r.queue, recheck.compare) {
		t.Errorf("after a failed call the list is %+v", r.queue)
	}
}

// A sample that was checked after the clock was set back is rechecked.
func TestRechecksFollowAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	const back = -48 * time.Hour
	now := time.Now()
	r := newRechecks(time.Hour, now)

	r.shift(back)
	r.update(digest(1), pipeline.Sample{State: pipeline.StateVerdict, CheckedAt: now.Add(back)})

	if len(r.queue) != 1 {
		t.Error("the sample is not rechecked")
	}
}

// A new leader rechecks the samples that the previous one had not rechecked yet, because they
// waited for room in another call.
func TestANewLeaderRechecksWhatIsOverdue(t *testing.T) {
	t.Parallel()
	const after = 24 * time.Hour
	now := time.Now()
	r := newRechecks(after, now)

	r.update(digest(1), pipeline.Sample{State: pipeline.StateVerdict, CheckedAt: now.Add(-after - roomWait(after))})

	if len(r.queue) != 1 {
		t.Error("the sample is not rechecked")
	}
}

// A verdict on withheld contents is published as soon as RESULTS accepts it.
func TestAVerdictOnWithheldContentsIsPublishedLater(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	key := digest(1)
	withheld := results.Error{Reason: results.Withheld, Message: "by a rule"}
	ended := pipeline.FailedEvent(pipeline.Job{ID: "a", Source: "hr", Filename: "a.exe", SHA256: key}, withheld, 0, time.Now())
	if err := f.Queue.Events().Publish(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	accept := f.refuseEvents()

	published := make(chan struct{})
	go func() {
		defer close(published)
		f.rechecker.publishWithheld(t.Context(), key, pipeline.Sample{
			State:      pipeline.StateVerdict,
			Verdict:    int(wildfire.Malware),
			DecidedAt:  time.Now(),
			WithheldAt: ended.Time,
		})
	}()
	f.waitLogged("cannot publish the verdict on a withheld sample")
	accept()

	<-published
	if n := f.events(); n != 2 {
		t.Errorf("%d events, want 2: the job's final event, and the changed one", n)
	}
}
