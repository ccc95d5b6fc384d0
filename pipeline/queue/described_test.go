package queue

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/results"
)

// Each stream, bucket and durable consumer on the server has a description.
func TestServerObjectsAreDescribed(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	link := pipeline.Job{ID: "a", Source: "mail", Priority: pipeline.Normal, URL: "https://example.test/"}
	if _, err := q.Publisher().Submit(t.Context(), link, Input{}); err != nil {
		t.Fatal(err)
	}
	if _, err := q.lanes.Feeds(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var readers errgroup.Group
	ignore := func(context.Context, results.Event) error { return nil }
	readers.Go(func() error { return q.Events().Outcomes("watcher").Follow(ctx, "mail", "folder", ignore) })
	readers.Go(func() error {
		return results.NewSubscriber(q.JetStream(), results.SubscriberConfig{Prefix: q.Prefix(), Durable: "siem"}).Run(ctx, ignore)
	})
	t.Cleanup(func() { cancel(); _ = readers.Wait() }) // ended by ctx

	for end := time.Now().Add(time.Minute); len(described(t, q, q.ResultsStream())) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the subscribers have no consumers")
		}
	}
	streams := q.JetStream().ListStreams(t.Context())
	n := 0
	for s := range streams.Info() {
		n++
		if s.Config.Description == "" {
			t.Errorf("stream %s is not described", s.Config.Name)
		}
		for name, description := range described(t, q, s.Config.Name) {
			if description == "" {
				t.Errorf("consumer %s of %s is not described", name, s.Config.Name)
			}
		}
	}
	if err := streams.Err(); err != nil || n < 6 {
		t.Errorf("%d streams (%v)", n, err)
	}
}

// described returns the descriptions of a stream's durable consumers, by name.
func described(t *testing.T, q *Queue, stream string) map[string]string {
	t.Helper()
	s, err := q.JetStream().Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	consumers := s.ListConsumers(t.Context())
	for c := range consumers.Info() {
		if c.Config.Durable != "" {
			found[c.Name] = c.Config.Description
		}
	}
	if err := consumers.Err(); err != nil {
		t.Fatal(err)
	}

	return found
}

// A dead worker is not shown as if it ran.
func TestOwnersAreDescribed(t *testing.T) {
	t.Parallel()
	members := []fleet.Member{{ID: "a", Host: "h", PID: 7}, {ID: "b", Host: "h", PID: 8, Gone: true}}
	for id, want := range map[string]string{
		"a": "a on h, process 7",
		"b": "b on h, which is gone: its lease has to run out",
		"c": "c, which is gone: its lease has to run out",
	} {
		if got := describe(members, id); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
