package natsd_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/health"
	"backburn/internal/testkit/needs"
)

// A disk that something else fills stops the store only while it is full, and that is reported.
func TestStoreContinuesAfterAFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	needs.Tmpfs(t, disk, "size=300m")
	s := start(t, on(filepath.Join(disk, "nats"), anyPort))
	js, err := jetstream.New(dial(t, s))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	r := health.New(zerolog.Nop())
	s.Report(r)
	stored := uint64(0)
	publish := func() error {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := js.Publish(attempt, "s", bytes.Repeat([]byte("x"), 100_000))
		if err == nil {
			stored++
		}
		return err
	}
	if err := publish(); err != nil {
		t.Fatal(err)
	}

	filler := filepath.Join(disk, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 1<<20))
	}
	_ = f.Close()
	for publish() == nil {
		if ctx.Err() != nil {
			t.Fatal("the disk is not full")
		}
	}
	if fault := storeFault(r); fault == nil || !strings.Contains(fault.Error(), "could not write") {
		t.Errorf("with a full disk, the store's fault is %v", fault)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for err := publish(); err != nil; err = publish() {
		if ctx.Err() != nil {
			t.Fatalf("the disk has room again, and the store refuses messages: %v", err)
		}
	}
	if fault := storeFault(r); fault != nil {
		t.Errorf("the store's fault is still %v", fault)
	}
	stream, err := js.Stream(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n < stored {
		t.Errorf("%d messages are stored, of %d that were acknowledged", n, stored)
	}
}
