package results_test

import (
	"context"
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
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: b.TempDir(), NoSigs: true, NoLog: true})
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

// Both read the same events by turns, acknowledging each; the ratio is what the
// Subscriber keeps of the bare consumer's speed.
func BenchmarkSubscriber(b *testing.B) {
	const n = 20_000
	js := stream(b, n)
	var bare, ours time.Duration
	round := 0
	for b.Loop() {
		round++
		started := time.Now()
		c, err := js.CreateConsumer(b.Context(), "BACKBURN_RESULTS", jetstream.ConsumerConfig{Durable: fmt.Sprintf("bare-%d", round), AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			b.Fatal(err)
		}
		it, err := c.Messages(jetstream.PullMaxMessages(256))
		if err != nil {
			b.Fatal(err)
		}
		for range n {
			m, err := it.Next()
			if err != nil {
				b.Fatal(err)
			}
			if err := m.Ack(); err != nil {
				b.Fatal(err)
			}
		}
		it.Stop()
		bare += time.Since(started)

		started = time.Now()
		seen := 0
		sub := results.NewSubscriber(js, results.SubscriberConfig{Durable: fmt.Sprintf("ours-%d", round)})
		err = sub.Run(b.Context(), func(context.Context, results.Event) error {
			if seen++; seen == n {
				return results.ErrStop
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		ours += time.Since(started)
		for _, name := range []string{"bare", "ours"} {
			if err := js.DeleteConsumer(b.Context(), "BACKBURN_RESULTS", fmt.Sprintf("%s-%d", name, round)); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n*round)/ours.Seconds(), "events/s")
	b.ReportMetric(bare.Seconds()/ours.Seconds(), "ratio")
}
