package results_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
)

// exampleStream starts a NATS server with one event in the stream RESULTS.
func exampleStream(dir string) (js jetstream.JetStream, stop func(), err error) {
	s, err := server.NewServer(&server.Options{
		Host:      "127.0.0.1",
		Port:      server.RANDOM_PORT,
		JetStream: true,
		StoreDir:  dir,
		NoSigs:    true,
	})
	if err != nil {
		return nil, nil, err
	}
	go s.Start()
	if !s.ReadyForConnections(time.Minute) {
		return nil, nil, errors.New("the server does not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		return nil, nil, err
	}
	stop = func() {
		nc.Close()
		s.Shutdown()
		s.WaitForShutdown()
	}

	js, err = jetstream.New(nc)
	if err != nil {
		return nil, stop, err
	}
	ctx := context.Background()
	if _, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "BACKBURN_RESULTS", Subjects: []string{"backburn.results.>"}}); err != nil {
		return nil, stop, err
	}
	event := results.Event{
		Type: results.Verdict,
		Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Data: results.Data{JobID: "4711-1", Source: "mail", Filename: "invoice.exe", Verdict: "malware"},
	}
	body, err := event.MarshalJSON()
	if err == nil {
		_, err = js.Publish(ctx, event.Subject("backburn"), body)
	}

	return js, stop, err
}

// A consumer reads some of the verdicts. With a Durable it continues where it stopped.
func ExampleSubscriber_Run() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	js, stop, err := exampleStream(dir) // in production: a connection to the installation's NATS server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	subscriber := results.NewSubscriber(js, results.SubscriberConfig{
		Durable: "siem",
		Filter:  results.Filter{Types: []results.Type{results.Verdict}, Outcomes: []string{"malware", "phishing", "c2"}},
	})
	err = subscriber.Run(context.Background(), func(_ context.Context, e results.Event) error {
		fmt.Println(e.Data.Source, e.Data.Filename, e.Data.Verdict)
		return results.ErrStop // one event is enough here; after nil, reading continues until the context ends
	})
	fmt.Println(err)
	// Output:
	// mail invoice.exe malware
	// <nil>
}

// An event has the same ID each time it is delivered.
func ExampleEvent_ID() {
	const body = `{
		"specversion": "1.0", "id": "4711-1.verdict", "type": "backburn.verdict.v1",
		"source": "backburn/mail", "time": "2026-03-01T12:00:00Z",
		"data": {"job_id": "4711-1", "source": "mail", "verdict": "benign"}
	}`
	var e results.Event
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.ID(), e.Subject("backburn"))
	// Output: 4711-1.verdict backburn.results.verdict.benign.mail
}
