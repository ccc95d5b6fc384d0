package judge_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backburn/internal/judge"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

// endless is the ID of a job without a final event.
const endless = "endless"

// ledger has one verdict, for all contents and every other job. Await returns it once it is
// released.
type ledger struct {
	code     int
	released chan struct{}
}

func (l ledger) Await(ctx context.Context, ref pipeline.Ref) (results.Event, error) {
	released := l.released
	if ref.ID == endless {
		released = nil
	}
	select {
	case <-released:
		return results.Event{Type: results.Verdict, Data: results.Data{VerdictCode: &l.code}}, nil
	case <-ctx.Done():
		return results.Event{}, queue.ErrNoFinalEvent
	}
}

func (l ledger) Sample(context.Context, string) (queue.SampleEntry, error) {
	var s queue.SampleEntry
	s.State = pipeline.StateVerdict
	s.Verdict = l.code
	s.CheckedAt = time.Now()
	return s, nil
}

func newJudge(l ledger) *judge.Judge {
	return judge.New(judge.Config{Ledger: l, ReuseDuration: func(wildfire.Verdict) time.Duration { return time.Hour }})
}

// Only a verdict with a name decides: a code of a later version may stand for something malicious.
func TestOnlyNamedVerdictsDecide(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	close(released)
	for code, want := range map[int]string{0: "benign", 1: "malware", 2: "grayware", 4: "phishing", 5: "c2", 3: "", 6: "", 99: ""} {
		j := newJudge(ledger{code, released})
		known, ok, err := j.Known(t.Context(), "sum")
		waited := j.Wait(t.Context(), pipeline.Ref{Source: "mail", ID: "1"})
		switch {
		case err != nil || ok != (want != "") || known.Decided != ok || waited.Decided != ok:
			t.Errorf("%d: %+v, %v, %v; %+v", code, known, ok, err, waited)
		case ok && (known.String() != want || waited != known):
			t.Errorf("%d: %s, %s, want %s", code, known, waited, want)
		case !ok && waited.String() != "unrecognised":
			t.Errorf("%d: %s", code, waited)
		}
	}
}

// The default number of clamd connections can wait at the same time, and one more gets its answer.
func TestManyWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		close(released)
		j := newJudge(ledger{1, released})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for range 1024 {
			all.Go(func() {
				if o := j.Wait(ctx, pipeline.Ref{Source: "mail", ID: endless}); o.String() != judge.Pending {
					t.Errorf("got %s", o)
				}
			})
		}
		synctest.Wait()
		if o := j.Wait(ctx, pipeline.Ref{Source: "mail", ID: "1"}); !o.Malicious() {
			t.Errorf("got %s", o)
		}
		all.Wait()
	})
}
