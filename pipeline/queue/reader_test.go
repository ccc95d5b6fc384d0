package queue

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
)

// store writes messages to subjects of the ledger.
func store(t testing.TB, q *Queue, subject string, body []byte) {
	t.Helper()
	if err := q.ledger.Commit(t.Context(), change(subject, body, 0, nil)); err != nil {
		t.Fatal(err)
	}
}

// Reads of many callers are combined into few requests, and missing subjects are distinguished from
// existing ones.
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
	requests, err := q.Conn().SubscribeSync(q.ledger.reads.api)
	if err != nil {
		t.Fatal(err)
	}

	msgs, err := q.ledger.reads.last(t.Context(), subjects...)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range msgs {
		switch {
		case i >= present && m != nil:
			t.Errorf("%s does not exist, and has the body %q", subjects[i], m.Data)
		case i < present && (m == nil || string(m.Data) != fmt.Sprint("body of ", i) || m.Sequence != uint64(i+1) || m.Time.IsZero()):
			t.Errorf("%s is %+v", subjects[i], m)
		}
	}

	if err := q.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := requests.Pending(); err != nil || n != 3 {
		t.Errorf("%d requests for %d subjects (%v), want 3", n, wanted, err)
	}
}

// A subject by itself is read by the simpler request. That answers alike if there is no record and
// if it cannot be read, so a missing record is confirmed by the other request.
func TestReaderAsksForOne(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	subject := q.SampleSubject("present")
	store(t, q, subject, []byte("body"))
	single, err := q.Conn().SubscribeSync(q.ledger.reads.api + ".>")
	if err != nil {
		t.Fatal(err)
	}
	many, err := q.Conn().SubscribeSync(q.ledger.reads.api)
	if err != nil {
		t.Fatal(err)
	}
	asked := func() string {
		t.Helper()
		if err := q.Conn().Flush(); err != nil {
			t.Fatal(err)
		}
		one, _, _ := single.Pending()
		more, _, _ := many.Pending()
		return fmt.Sprint(one, " and ", more)
	}

	msgs, err := q.ledger.reads.last(t.Context(), subject)
	if err != nil || msgs[0] == nil || string(msgs[0].Data) != "body" || msgs[0].Sequence != 1 || msgs[0].Time.IsZero() {
		t.Errorf("read %+v, %v", msgs, err)
	}
	if got := asked(); got != "1 and 0" {
		t.Errorf("%s requests for a record that is there, want 1 and 0", got)
	}

	msgs, err = q.ledger.reads.last(t.Context(), q.SampleSubject("missing"))
	if err != nil || msgs[0] != nil {
		t.Errorf("read %+v, %v of a missing record", msgs, err)
	}
	if got := asked(); got != "2 and 1" {
		t.Errorf("%s requests after one for a missing record, want 2 and 1", got)
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
			msgs, err := q.ledger.reads.last(t.Context(), q.SampleSubject(fmt.Sprint(i)), q.SampleSubject("none"))
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

	q.ledger.reads.mu.Lock()
	defer q.ledger.reads.mu.Unlock()
	if len(q.ledger.reads.queue)+len(q.ledger.reads.rounds) > 0 {
		t.Errorf("%d subjects and %d rounds are left", len(q.ledger.reads.queue), len(q.ledger.reads.rounds))
	}
}

// The server truncates an answer that becomes too large. The rest still exists: a waiting job must
// not be taken for a missing one.
func TestReaderOfLargeRecords(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	body := bytes.Repeat([]byte{'x'}, 900<<10)
	subjects := make([]string, 80) // 72 MB; a server sends 64 at most
	for i := range subjects {
		subjects[i] = q.SampleSubject(fmt.Sprint(i))
		store(t, q, subjects[i], body)
	}

	msgs, err := q.ledger.reads.last(t.Context(), append(subjects, q.SampleSubject("none"))...)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range msgs {
		if is, want := m != nil && len(m.Data) == len(body), i < len(subjects); is != want {
			t.Errorf("record %d: there %v, want %v", i, is, want)
		}
	}
	if n := q.Conn().Statistics.Reconnects; n != 0 {
		t.Errorf("the server gave up on the connection %d times", n)
	}
}

// A reader of a missing stream retries until the stream is created.
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
