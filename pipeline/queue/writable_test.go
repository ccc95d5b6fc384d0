package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/health"
	"backburn/pipeline/fleet"
)

func TestFullness(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		used, max     uint64
		msgs, maxMsgs uint64
		discard       jetstream.DiscardPolicy
		want          health.State
	}{
		"empty":               {0, 100 << 20, 0, 1000, jetstream.DiscardNew, health.OK},
		"no limit":            {100 << 20, 0, 1000, 0, jetstream.DiscardNew, health.OK},
		"nearly full":         {91 << 20, 100 << 20, 0, 0, jetstream.DiscardNew, health.Degraded},
		"full but for little": {100<<20 - 1000, 100 << 20, 0, 0, jetstream.DiscardNew, health.Failed},
		"full of messages":    {0, 0, 1_000_000, 1_000_000, jetstream.DiscardNew, health.Failed},
		"full, nearly full":   {91 << 20, 100 << 20, 1_000_000, 1_000_000, jetstream.DiscardNew, health.Failed},
		"drops the oldest":    {100 << 20, 100 << 20, 0, 0, jetstream.DiscardOld, health.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, ok := fullness(&jetstream.StreamInfo{
				Config: jetstream.StreamConfig{Name: "S", MaxBytes: int64(tc.max), MaxMsgs: int64(tc.maxMsgs), Discard: tc.discard},
				State:  jetstream.StreamState{Bytes: tc.used, Msgs: tc.msgs},
			})
			if got := f.State; ok != (tc.want != health.OK) || ok && got != tc.want {
				t.Errorf("%v %+v", ok, f)
			}
		})
	}
}

// A store that refuses writes is reported, although it can be read and has room.
func TestWritableWrites(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	member := fleet.Join(q.Control(), 15*time.Second, fleet.Process{Role: "worker", Slots: 1})
	ctx := t.Context()
	refuse := func(stream string, size int32) {
		t.Helper()
		s, err := q.JetStream().Stream(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		c := s.CachedInfo().Config
		c.MaxMsgSize = size
		if _, err := q.JetStream().UpdateStream(ctx, c); err != nil {
			t.Fatal(err)
		}
	}

	for what, ledger := range map[string]bool{q.LedgerStream(): true, "KV_" + q.ControlBucket(): false} {
		refuse(what, 1)
		fault, ok := errors.AsType[health.Fault](q.Streams().Writable(ctx, member, true))
		if !ok || fault.State == health.Degraded || !strings.Contains(fault.Reason, strings.TrimPrefix(what, "KV_")) || fault.Remedy == "" {
			t.Errorf("%s refuses messages, and the fault is %+v", what, fault)
		}
		if err := q.Streams().Writable(ctx, member, false); (err == nil) != ledger {
			t.Errorf("%s refuses messages; for a process that does not write the ledger: %v", what, err)
		}
		refuse(what, -1)
	}
}

// A sealed stream is reported, even if only a worker writes it, and even if it has room.
func TestWritableSealed(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	member := fleet.Join(q.Control(), 15*time.Second, fleet.Process{Role: "worker", Slots: 1})
	ctx := t.Context()
	s, err := q.streams.js.Stream(ctx, q.ResultsStream())
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Sealed = true
	if _, err := q.streams.js.UpdateStream(ctx, c); err != nil {
		t.Fatal(err)
	}

	fault, ok := errors.AsType[health.Fault](q.Streams().Writable(ctx, member, true))
	if !ok || !strings.Contains(fault.Reason, q.ResultsStream()) || !strings.Contains(fault.Remedy, "delete it") {
		t.Errorf("%s is sealed, and the fault is %+v", q.ResultsStream(), fault)
	}
	if err := q.Streams().Writable(ctx, member, false); err != nil {
		t.Errorf("for a process that does not write it: %v", err)
	}
}

// The fault names the stream that cannot be written: a full stream, and a server that does not
// answer.
func TestWritable(t *testing.T) {
	t.Parallel()
	q, err := Open(t.Context(), connectTo(t, startServer(t, t.TempDir(), false).ClientURL()), Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  EventLimits{MaxAge: time.Hour, MaxBytes: 1 << 20},
		Queue:    QueueLimits{JobsMaxBytes: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	member := fleet.Join(q.Control(), 15*time.Second, fleet.Process{Role: "worker", Slots: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := q.Streams().Writable(ctx, member, true); err != nil {
		t.Fatalf("an empty queue: %v", err)
	}

	for i := 0; err == nil && i < 1000; i++ {
		m := nats.NewMsg(q.JobSubject("bulk", "mail"))
		m.Data = make([]byte, 64<<10)
		_, err = q.JetStream().PublishMsg(ctx, m)
	}
	if err == nil {
		t.Fatal("the stream did not become full")
	}
	err = q.Streams().Writable(ctx, member, true)
	fault, ok := errors.AsType[health.Fault](err)
	if !ok || fault.Cause != health.CauseFull || fault.State != health.Failed || !strings.Contains(fault.Reason, q.JobsStream()) {
		t.Errorf("with a full stream: %v", fmt.Sprintf("%+v", err))
	}
}
