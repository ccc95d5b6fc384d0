package queue

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Thirty processes write batches to a stream at once, more than the server allows to be open. Those
// that it refuses are sent again as single messages, and every message is durable, once.
func TestMoreBatchesThanTheServerOpens(t *testing.T) {
	t.Parallel()
	s := startServerWith(t, server.Options{
		StoreDir:        t.TempDir(),
		SyncAlways:      true,
		JetStreamLimits: server.JSLimitOpts{MaxBatchInflightPerStream: 1},
	})
	q := openOn(t, connectTo(t, s.ClientURL()))
	const (
		processes = 30
		batches   = 10 // of each
		messages  = 20 // in each
	)

	var refused atomic.Int64
	var writers sync.WaitGroup
	for p := range processes {
		c := newCommitter(connectTo(t, s.ClientURL()), newAnswer())
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
	writers.Wait()

	if refused.Load() == 0 {
		t.Error("no batch was refused, so nothing was tested")
	}
	t.Logf("%d of %d messages were in refused batches", refused.Load(), processes*batches*messages)
	info, err := q.ledger.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := info.State.NumSubjects; n < processes*batches*messages {
		t.Errorf("%d subjects in the ledger", n)
	}
}
