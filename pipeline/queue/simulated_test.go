package queue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Processes of this version leave a ledger of a later version alone, and create nothing on its
// server.
func TestALaterFormatIsRefused(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	ctx := t.Context()
	s, err := q.JetStream().Stream(ctx, q.LedgerStream())
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Metadata[formatKey] = strconv.Itoa(format + 1)
	if _, err := q.JetStream().UpdateStream(ctx, c); err != nil {
		t.Fatal(err)
	}

	for how, start := range map[string]func() error{
		"a worker":            func() error { _, err := Open(ctx, q.Conn(), q.streams.topology); return err },
		"a watcher":           func() error { _, err := AttachOrOpen(ctx, q.Conn(), q.streams.topology); return err },
		"a command":           func() error { _, err := Attach(ctx, q.Conn(), "", q.prefix); return err },
		"a worker that leads": func() error { _, err := q.Streams().Repair(ctx); return err },
	} {
		if how == "a worker that leads" {
			if err := q.JetStream().DeleteStream(ctx, q.DeadStream()); err != nil {
				t.Fatal(err)
			}
		}
		if err := start(); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "update this process") {
			t.Errorf("%s: %v", how, err)
		}
		if how == "a worker that leads" {
			if _, err := q.JetStream().Stream(ctx, q.DeadStream()); !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Errorf("Repair created a stream: %v", err)
			}
			if _, err := q.JetStream().CreateStream(ctx, q.streams.dead.CachedInfo().Config); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Whichever streams of a fleet still exist, a fleet of the other kind refuses them, and changes
// nothing.
func TestSimulatedAndRealAreKeptApart(t *testing.T) {
	t.Parallel()
	for name, simulated := range map[string]bool{"real": false, "simulated": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := connectTo(t, startServer(t, t.TempDir(), false).ClientURL())
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			made := Topology{
				Prefix:    "backburn",
				Replicas:  1,
				Lease:     3 * time.Second,
				Results:   EventLimits{MaxAge: time.Hour, MaxBytes: 64 << 20},
				Simulated: simulated,
			}
			q, err := Open(ctx, nc, made)
			if err != nil {
				t.Fatal(err)
			}

			other := made
			other.Simulated = !simulated
			for _, lost := range []string{"", q.LedgerStream(), q.DeadStream()} {
				if lost != "" {
					if err := q.JetStream().DeleteStream(ctx, lost); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := Open(ctx, nc, other); !errors.Is(err, ErrMixed) {
					t.Errorf("without %q: Open by a fleet of the other kind: %v", lost, err)
				}
				if _, err := AttachOrOpen(ctx, nc, other); !errors.Is(err, ErrMixed) {
					t.Errorf("without %q: Attach by a fleet of the other kind: %v", lost, err)
				}
			}

			again, err := Open(ctx, nc, made)
			if err != nil {
				t.Fatal(err)
			}
			attached, err := Attach(ctx, nc, "", "backburn")
			if err != nil {
				t.Fatal(err)
			}
			if again.Streams().Simulated() != simulated || attached.Streams().Simulated() != simulated {
				t.Errorf("simulated %v and %v, want %v", again.Streams().Simulated(), attached.Streams().Simulated(), simulated)
			}
		})
	}
}

// If two start at the same moment, one gets all streams, and the other gets an error.
func TestSimulatedAndRealStartTogether(t *testing.T) {
	t.Parallel()
	for range 5 {
		nc := connectTo(t, startServer(t, t.TempDir(), false).ClientURL())
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		errs := make([]error, 2)
		var both sync.WaitGroup
		for i := range errs {
			both.Go(func() {
				_, errs[i] = Open(ctx, nc, Topology{
					Prefix:    "backburn",
					Replicas:  1,
					Results:   EventLimits{MaxAge: time.Hour, MaxBytes: 64 << 20},
					Simulated: i == 1,
				})
			})
		}
		both.Wait()

		if mixed := slices.IndexFunc(errs, func(err error) bool { return errors.Is(err, ErrMixed) }); mixed < 0 || errs[1-mixed] != nil {
			t.Errorf("both started: %v", errs)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		marks := map[bool]int{}
		for s := range js.ListStreams(ctx).Info() {
			if strings.HasPrefix(s.Config.Name, "BACKBURN_") {
				marks[isSimulated(s.Config)]++
			}
		}
		if marks[true] > 0 && marks[false] > 0 {
			t.Errorf("the fleet is half simulated: %v", marks)
		}
	}
}
