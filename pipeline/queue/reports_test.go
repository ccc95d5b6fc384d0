package queue

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"backburn/pipeline"
)

// Reports are kept within their limit: if there is no room, the oldest are removed, and the
// remaining ones are complete.
func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), false)
	q, err := Open(t.Context(), connectTo(t, s.ClientURL()), Topology{
		Prefix:          "backburn",
		Replicas:        1,
		Lease:           3 * time.Second,
		Results:         EventLimits{MaxAge: time.Hour, MaxBytes: 64 << 20},
		ReportsMaxAge:   time.Hour,
		ReportsMaxBytes: 4 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	reports, err := q.Streams().Reports(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	const all = 20
	body := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 700<<10) }
	for i := range all {
		if err := reports.Put(t.Context(), hashOf(i), "xml", body(i)); err != nil {
			t.Fatalf("report %d: %v", i, err)
		}
	}

	kept := 0
	for i := range all {
		got, at, err := reports.Read(t.Context(), hashOf(i), "xml")
		switch {
		case errors.Is(err, pipeline.ErrContentMissing):
			if kept > 0 {
				t.Errorf("report %d is gone, and an older one is kept", i)
			}
		case err != nil:
			t.Errorf("report %d: %v", i, err)
		default:
			kept++
			if !bytes.Equal(got, body(i)) || time.Since(at) > time.Hour || at.IsZero() {
				t.Errorf("report %d: %d bytes of %s", i, len(got), at)
			}
		}
	}
	if kept < 2 || kept > 5 {
		t.Errorf("%d reports of 700 KiB are kept in 4 MiB", kept)
	}

	if err := reports.Put(t.Context(), hashOf(all), "pdf", bytes.Repeat([]byte{1}, 5<<20)); err == nil {
		t.Error("a document larger than the bucket was kept")
	}
}

// Without [reports] there is no bucket, and the error says so.
func TestNoReportsAreKept(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), false)
	q, err := Open(t.Context(), connectTo(t, s.ClientURL()), Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    3 * time.Second,
		Results:  EventLimits{MaxAge: time.Hour, MaxBytes: 64 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := q.Streams().Reports(t.Context()); !errors.Is(err, ErrNoReports) || !strings.Contains(err.Error(), "backburn_reports") {
		t.Errorf("got %v", err)
	}
}

func hashOf(i int) string { return fmt.Sprintf("%064x", i) }
