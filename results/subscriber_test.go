package results_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
)

func TestSubscriberDeliversEventsInOrder(t *testing.T) {
	t.Parallel()
	js := stream(t, 700) // more than is fetched ahead
	for name, cfg := range map[string]results.SubscriberConfig{
		"ordered": {}, "durable": {Durable: "all"}, "durable, one ahead": {Durable: "one", Ahead: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			err := results.NewSubscriber(js, cfg).Run(t.Context(), func(_ context.Context, e results.Event) error {
				if got = append(got, e.Data.JobID); len(got) == 700 {
					return results.ErrStop
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, id := range got {
				if id != fmt.Sprintf("job-%d", i) {
					t.Fatalf("event %d is of %s", i, id)
				}
			}
		})
	}
	n := 0
	if err := results.NewSubscriber(js, results.SubscriberConfig{}).Drain(t.Context(), func(context.Context, results.Event) error { n++; return nil }); err != nil || n != 700 {
		t.Errorf("Drain gave %d events: %v", n, err)
	}
}

func TestHandlerErrorsEndOrRedeliver(t *testing.T) {
	t.Parallel()
	js := stream(t, 3)
	fault := errors.New("a fault of the handler")
	// Without a durable it ends Run.
	err := results.NewSubscriber(js, results.SubscriberConfig{}).Run(t.Context(), func(context.Context, results.Event) error { return fault })
	if !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	// With a durable the event is redelivered, and the others are not delayed.
	var got []string
	err = results.NewSubscriber(js, results.SubscriberConfig{Durable: "d"}).Run(t.Context(), func(_ context.Context, e results.Event) error {
		got = append(got, e.Data.JobID)
		switch {
		case len(got) == 1:
			return fault
		case len(got) == 4:
			return results.ErrStop
		}
		return nil
	})
	if want := []string{"job-0", "job-1", "job-2", "job-0"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}
}

// A consumer that disappears is created again, and continues after the last event that was seen.
func TestDeletedConsumerIsCreatedAgain(t *testing.T) {
	t.Parallel()
	js := stream(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	err := results.NewSubscriber(js, results.SubscriberConfig{}).Run(ctx, func(ctx context.Context, e results.Event) error {
		if got = append(got, e.Data.JobID); len(got) == 3 {
			s, err := js.Stream(ctx, "BACKBURN_RESULTS")
			if err != nil {
				return err
			}
			for name := range s.ConsumerNames(ctx).Name() {
				if err := s.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
					return err
				}
			}
			if err := publish(ctx, js, event(3)); err != nil {
				return err
			}
		}
		if len(got) == 4 {
			return results.ErrStop
		}
		return nil
	})
	if want := []string{"job-0", "job-1", "job-2", "job-3"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}
}

// A stream that is removed and created again begins at sequence 1. Its events are delivered
// nevertheless.
func TestEventsOfARecreatedStreamAreDelivered(t *testing.T) {
	t.Parallel()
	js := stream(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	err := results.NewSubscriber(js, results.SubscriberConfig{}).Run(ctx, func(ctx context.Context, e results.Event) error {
		got = append(got, e.Data.JobID)
		switch len(got) {
		case 3:
			return recreateStream(ctx, js, event(3), event(4), event(5), event(6))
		case 7:
			return results.ErrStop
		}

		return nil
	})
	want := []string{"job-0", "job-1", "job-2", "job-3", "job-4", "job-5", "job-6"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: %v", got, want, err)
	}
}

// recreateStream deletes the stream of events, creates it again, and publishes events.
func recreateStream(ctx context.Context, js jetstream.JetStream, events ...results.Event) error {
	s, err := js.Stream(ctx, "BACKBURN_RESULTS")
	if err != nil {
		return err
	}
	if err := js.DeleteStream(ctx, s.CachedInfo().Config.Name); err != nil {
		return err
	}
	if _, err := js.CreateStream(ctx, s.CachedInfo().Config); err != nil {
		return err
	}

	return publish(ctx, js, events...)
}

// publish publishes events, one after the other.
func publish(ctx context.Context, js jetstream.JetStream, events ...results.Event) error {
	for _, e := range events {
		b, err := e.MarshalJSON()
		if err != nil {
			return err
		}
		if _, err := js.Publish(ctx, e.Subject("backburn"), b); err != nil {
			return err
		}
	}

	return nil
}

// unansweringOnce simulates a cluster that does not answer the first request to create a consumer.
type unansweringOnce struct {
	jetstream.JetStream
	asked atomic.Int32
}

func (d *unansweringOnce) OrderedConsumer(ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig) (jetstream.Consumer, error) {
	if d.asked.Add(1) == 1 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return d.JetStream.OrderedConsumer(ctx, stream, cfg)
}

func TestUnansweredRequestIsRepeated(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := 0
	sub := results.NewSubscriber(&unansweringOnce{JetStream: stream(t, 3)}, results.SubscriberConfig{})
	if err := sub.Drain(ctx, func(context.Context, results.Event) error { n++; return nil }); err != nil || n != 3 {
		t.Errorf("%d events, %v; want 3", n, err)
	}
}

func TestMissingStreamIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	js := stream(t, 0)
	err := results.NewSubscriber(js, results.SubscriberConfig{Prefix: "other"}).Run(t.Context(), func(context.Context, results.Event) error { return nil })
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("got %v", err)
	}
}

// A Subscriber that starts while the server is unavailable waits for it.
func TestSubscriberWaitsForAnUnavailableServer(t *testing.T) {
	t.Parallel()
	opts := &server.Options{
		Host:      "127.0.0.1",
		Port:      -1,
		JetStream: true,
		StoreDir:  t.TempDir(),
		NoSigs:    true,
		NoLog:     true,
	}
	begin := func() *server.Server {
		s, err := server.NewServer(opts)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("the NATS server did not start")
		}
		return s
	}
	s := begin()
	opts.Port = s.Addr().(*net.TCPAddr).Port
	gone := make(chan struct{}, 10)
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { gone <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BACKBURN_RESULTS", Subjects: []string{"backburn.results.*.*.*"}}); err != nil {
		t.Fatal(err)
	}
	e := event(1)
	body, err := e.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), e.Subject("backburn"), body); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	s.WaitForShutdown()
	<-gone

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	asked := &requestSignal{JetStream: js, first: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		sub := results.NewSubscriber(asked, results.SubscriberConfig{Durable: "d"})
		done <- sub.Run(ctx, func(context.Context, results.Event) error { return results.ErrStop })
	}()
	<-asked.first
	s = begin()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// requestSignal signals the first request for a consumer once it has failed.
type requestSignal struct {
	jetstream.JetStream
	first chan struct{}
	once  sync.Once
}

func (a *requestSignal) Consumer(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	c, err := a.JetStream.Consumer(ctx, stream, name)
	a.once.Do(func() { close(a.first) })
	return c, err
}

func TestEventIsReadAsWritten(t *testing.T) {
	t.Parallel()
	want := event(1)
	b, err := want.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var got results.Event
	if err := got.UnmarshalJSON(b); err != nil || got.ID() != want.ID() || !got.Time.Equal(want.Time) || got.Data.SHA256 != want.Data.SHA256 {
		t.Errorf("got %+v: %v", got, err)
	}
	if got.Simulated || bytes.Contains(b, []byte("simulated")) {
		t.Errorf("a real event is marked: %s", b)
	}

	want.Simulated = true
	if b, err = want.MarshalJSON(); err != nil {
		t.Fatal(err)
	}
	if err := got.UnmarshalJSON(b); err != nil || !got.Simulated || !bytes.Contains(b, []byte(`"backburnsimulated":true`)) {
		t.Errorf("the attribute of a simulation is lost: %s, %v", b, err)
	}

	for name, text := range map[string]string{
		"no JSON":      `{`,
		"version 0.3":  `{"specversion":"0.3","id":"a","source":"b","type":"backburn.verdict.v1","data":{}}`,
		"no id":        `{"specversion":"1.0","source":"b","type":"backburn.verdict.v1","data":{}}`,
		"no source":    `{"specversion":"1.0","id":"a","type":"backburn.verdict.v1","data":{}}`,
		"unknown type": `{"specversion":"1.0","id":"a","source":"b","type":"backburn.verdict.v2","data":{}}`,
		"odd data":     `{"specversion":"1.0","id":"a","source":"b","type":"backburn.verdict.v1","data":[]}`,
	} {
		if err := got.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is accepted as an event", name)
		}
	}
}

// A server limits the consumers of a stream, so a Subscriber without a durable removes its own when
// it is done.
func TestSubscriberRemovesItsConsumer(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(*results.Subscriber, context.Context, results.Handler) error{
		"Run":   (*results.Subscriber).Run,
		"Drain": (*results.Subscriber).Drain,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := stream(t, 3)
			removed, err := js.Conn().SubscribeSync("$JS.API.CONSUMER.DELETE.>")
			if err != nil {
				t.Fatal(err)
			}
			created, err := js.Conn().SubscribeSync("$JS.API.CONSUMER.CREATE.>")
			if err != nil {
				t.Fatal(err)
			}
			err = read(results.NewSubscriber(js, results.SubscriberConfig{}), t.Context(), func(context.Context, results.Event) error { return results.ErrStop })
			if err != nil {
				t.Fatal(err)
			}
			if err := js.Conn().Flush(); err != nil {
				t.Fatal(err)
			}
			n, _, err := created.Pending()
			if n == 0 || err != nil {
				t.Fatalf("%d consumers were created (%v)", n, err)
			}
			for range n {
				if _, err := removed.NextMsg(30 * time.Second); err != nil {
					t.Fatalf("a consumer is left: %v", err)
				}
			}
		})
	}
}
