package queue

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
)

// store writes what some subject of the ledger is to hold.
func store(t testing.TB, q *Queue, subject string, body []byte) {
	t.Helper()
	if err := q.Commit(t.Context(), change(subject, body, 0, nil)); err != nil {
		t.Fatal(err)
	}
}

// What many ask for travels in few requests; what is not there is told from what is.
func TestReaderAsksForManyAtOnce(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	const present, wanted = 600, 1200
	subjects := make([]string, wanted)
	for i := range subjects {
		subjects[i] = q.SampleSubject(fmt.Sprint(i))
		if i < present {
			store(t, q, subjects[i], fmt.Append(nil, "body of ", i))
		}
	}
	requests, err := q.nc.SubscribeSync(q.reads.api)
	if err != nil {
		t.Fatal(err)
	}

	msgs, err := q.reads.last(t.Context(), subjects...)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range msgs {
		switch {
		case i >= present && m != nil:
			t.Errorf("%s is not there, and has %q", subjects[i], m.Data)
		case i < present && (m == nil || string(m.Data) != fmt.Sprint("body of ", i) || sequenceOf(m) != uint64(i+1) || timeOf(m).IsZero()):
			t.Errorf("%s is %+v", subjects[i], m)
		}
	}

	if err := q.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := requests.Pending(); err != nil || n != 3 {
		t.Errorf("%d requests for %d subjects (%v), want 3", n, wanted, err)
	}
}

func TestReaderServesManyCallers(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	const subjects = 50
	for i := range subjects {
		store(t, q, q.SampleSubject(fmt.Sprint(i)), fmt.Append(nil, i))
	}

	var readers sync.WaitGroup
	for n := range 400 {
		readers.Go(func() {
			i := n % subjects
			msgs, err := q.reads.last(t.Context(), q.SampleSubject(fmt.Sprint(i)), q.SampleSubject("none"))
			if err != nil {
				t.Error(err)
				return
			}
			if msgs[0] == nil || string(msgs[0].Data) != fmt.Sprint(i) || msgs[1] != nil {
				t.Errorf("reader %d got %+v", n, msgs)
			}
		})
	}
	readers.Wait()

	q.reads.mu.Lock()
	defer q.reads.mu.Unlock()
	if len(q.reads.queue)+len(q.reads.rounds) > 0 {
		t.Errorf("%d subjects and %d rounds are left", len(q.reads.queue), len(q.reads.rounds))
	}
}

// The server ends an answer that grows too large before its end. What it left out is there all the
// same: a job that waits must not be taken for one that is gone.
func TestReaderOfLargeRecords(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	body := bytes.Repeat([]byte{'x'}, 900<<10)
	subjects := make([]string, 80) // 72 MB; a server sends 64 at most
	for i := range subjects {
		subjects[i] = q.SampleSubject(fmt.Sprint(i))
		store(t, q, subjects[i], body)
	}

	msgs, err := q.reads.last(t.Context(), append(subjects, q.SampleSubject("none"))...)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range msgs {
		if is, want := m != nil && len(m.Data) == len(body), i < len(subjects); is != want {
			t.Errorf("record %d: there %v, want %v", i, is, want)
		}
	}
	if n := q.nc.Statistics.Reconnects; n != 0 {
		t.Errorf("the server gave up on the connection %d times", n)
	}
}

// A reader of a stream that is not there asks until somebody makes it.
func TestReaderOfNoStream(t *testing.T) {
	t.Parallel()
	nc := connectTo(t, startServer(t, t.TempDir(), false).ClientURL())
	r := newReader(nc, "$JS.API.", "NOTHING")

	if _, err := r.try(t.Context(), []string{"a"}); err == nil {
		t.Error("no error")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rounds) > 0 {
		t.Error("a round is left")
	}
}
