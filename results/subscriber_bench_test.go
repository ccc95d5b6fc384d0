package results_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
)

// stream is a RESULTS stream on a real server, with n events in it.
func stream(b testing.TB, n int) jetstream.JetStream {
	b.Helper()
	s, err := server.NewServer(&server.Options{
		Host:      "127.0.0.1",
		Port:      -1,
		JetStream: true,
		StoreDir:  b.TempDir(),
		NoSigs:    true,
		NoLog:     true,
	})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	b.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		b.Fatal("the NATS server did not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "BACKBURN_RESULTS", Subjects: []string{"backburn.results.*.*.*"}}); err != nil {
		b.Fatal(err)
	}
	for i := range n {
		e := event(i)
		body, err := e.MarshalJSON()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := js.PublishAsync(e.Subject("backburn"), body); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	return js
}

func event(i int) results.Event {
	code, now := 1, time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	return results.Event{Type: results.Verdict, Time: now, Data: results.Data{
		JobID: fmt.Sprintf("job-%d", i), Source: "mail", Filename: "invoice.exe", Path: "in/invoice.exe", Size: 12345,
		SHA256: "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5", Verdict: "malware", VerdictCode: &code,
		Basis: results.BasisUpload, ReceivedAt: now, SubmittedAt: now, DecidedAt: now, Attempts: 1, Metadata: map[string]string{"client": "10.0.0.7"},
	}}
}

// Three readers take turns with the same events and acknowledge each: a pull consumer that ignores
// their contents, one that decodes them, as every user must, and the Subscriber. The ratios are the
// Subscriber's speed relative to the others.
func BenchmarkSubscriber(b *testing.B) {
	const n = 20_000
	js := stream(b, n)
	var bare, decoding, ours time.Duration
	round := 0
	for b.Loop() {
		round++
		bare += pull(b, js, fmt.Sprintf("bare-%d", round), n, func([]byte) error { return nil })
		decoding += pull(b, js, fmt.Sprintf("decoding-%d", round), n, func(body []byte) error {
			var e struct {
				ID, Type string
				Data     results.Data
			}
			return json.Unmarshal(body, &e)
		})

		started := time.Now()
		seen := 0
		sub := results.NewSubscriber(js, results.SubscriberConfig{Durable: fmt.Sprintf("ours-%d", round)})
		err := sub.Run(b.Context(), func(context.Context, results.Event) error {
			if seen++; seen == n {
				return results.ErrStop
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		ours += time.Since(started)
		for _, name := range []string{"bare", "decoding", "ours"} {
			if err := js.DeleteConsumer(b.Context(), "BACKBURN_RESULTS", fmt.Sprintf("%s-%d", name, round)); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n*round)/ours.Seconds(), "events/s")
	b.ReportMetric(bare.Seconds()/ours.Seconds(), "of-bare")
	b.ReportMetric(decoding.Seconds()/ours.Seconds(), "of-decoding")
}

func pull(b *testing.B, js jetstream.JetStream, name string, n int, each func([]byte) error) time.Duration {
	b.Helper()
	started := time.Now()
	c, err := js.CreateConsumer(b.Context(), "BACKBURN_RESULTS", jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		b.Fatal(err)
	}
	it, err := c.Messages(jetstream.PullMaxMessages(256))
	if err != nil {
		b.Fatal(err)
	}
	defer it.Stop()
	for range n {
		m, err := it.Next()
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(each(m.Data()), m.Ack()); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(started)
}
