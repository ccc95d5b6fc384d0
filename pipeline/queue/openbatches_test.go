package queue

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Thirty processes write batches to a stream at once, more than the server allows to be open. Those
// that it refuses are sent again as single messages, and every message is durable, once. During the
// first batch of each process another one is open, so all of these are refused.
func TestMoreBatchesThanTheServerOpens(t *testing.T) {
	t.Parallel()
	s := startServerWith(t, server.Options{
		StoreDir:        t.TempDir(),
		SyncAlways:      true,
		JetStreamLimits: server.JSLimitOpts{MaxBatchInflightPerStream: 1, MaxBatchTimeout: time.Minute},
	})
	q := openOn(t, connectTo(t, s.ClientURL()))
	const (
		processes = 30
		batches   = 10 // of each
		messages  = 20 // in each
	)

	held := func(seq int, commit bool) {
		t.Helper()
		m := change(q.SampleSubject(fmt.Sprint("held-", seq)), []byte("held"), 0, nil).msg
		m.Header.Set(headerBatchID, "held")
		m.Header.Set(headerBatchSeq, strconv.Itoa(seq))
		if commit {
			m.Header.Set(headerBatchCommit, "1")
		}
		answer, err := q.Conn().RequestMsg(m, 30*time.Second)
		if err != nil || bytes.Contains(answer.Data, []byte(`"error"`)) {
			t.Fatalf("message %d of the open batch: %+v, %v", seq, answer, err)
		}
	}
	held(1, false)

	var refused atomic.Int64
	var writers, first sync.WaitGroup
	first.Add(processes)
	released := make(chan struct{})
	for p := range processes {
		c := newCommitter(connectTo(t, s.ClientURL()), newAckLatency(SyncUnknown), nil)
		writers.Go(func() {
			for b := range batches {
				groups := make([]*group, messages)
				for i := range groups {
					body := fmt.Sprintf("%d-%d-%d", p, b, i)
					groups[i] = groupOf(change(q.SampleSubject(body), []byte(body), 0, nil).msg)
				}
				sendAsBatch(c, groups...)
				for _, g := range groups {
					<-g.done
				}
				if b == 0 {
					first.Done()
					<-released
				}
				for _, g := range groups {
					m := g.messages[0]
					if m.err != nil {
						t.Errorf("message %s: %v", m.msg.Data, m.err)
						continue
					}
					isAt(t, q, m.seq, string(m.msg.Data))
					if m.msg.Header.Get(headerBatchID) == "" {
						refused.Add(1)
					}
				}
			}
		})
	}
	first.Wait()
	held(2, true)
	close(released)
	writers.Wait()

	if n := refused.Load(); n < processes*messages {
		t.Errorf("%d messages were in refused batches, want at least %d", n, processes*messages)
	}
	t.Logf("%d of %d messages were in refused batches", refused.Load(), processes*batches*messages)
	info, err := q.streams.ledger.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := info.State.NumSubjects; n < processes*batches*messages {
		t.Errorf("%d subjects in the ledger", n)
	}
}
