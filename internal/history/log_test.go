package history_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/history"
	"backburn/internal/testkit"
	"backburn/internal/testkit/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

type stream struct{ js jetstream.JetStream }

func (s stream) JetStream() jetstream.JetStream { return s.js }
func (stream) Prefix() string                   { return "backburn" }
func (stream) ResultsStream() string            { return "BACKBURN_RESULTS" }

// At its first use a Log reads the existing events, up to its limits, and then new ones. It waits
// for a stream that does not exist yet.
func TestLogFollowsTheStream(t *testing.T) {
	t.Parallel()
	nc, err := nats.Connect(testkit.StartNATS(t, &server.Options{}).ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	l := history.NewLog(stream{js}, history.Limits{Events: 100, Bytes: 1 << 20}, zerolog.Nop())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	until := func(what string, is func(*history.Summary, history.State) bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			b, st := l.Summary()
			if is(b, st) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %+v %+v", what, st, b.Search(history.Query{}))
			}
		}
	}
	until("no stream", func(_ *history.Summary, st history.State) bool { return st.Error != "" && !st.Ready })

	publishAt := func(job string, at time.Time) {
		t.Helper()
		e := verdict(job, "malware", at)
		body, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), e.Subject("backburn"), body); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(job string) {
		t.Helper()
		publishAt(job, time.Now())
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BACKBURN_RESULTS", Subjects: []string{"backburn.results.>"}}); err != nil {
		t.Fatal(err)
	}
	publish("old")
	until("the existing events", func(b *history.Summary, st history.State) bool {
		return st.Ready && st.Error == "" && len(b.Job("mail", "old")) == 1
	})
	for i := range 5 {
		publish(fmt.Sprint("new-", i))
	}
	until("what comes", func(b *history.Summary, _ history.State) bool {
		return b.Search(history.Query{Text: "new-"}).Matches == 5
	})

	// A stream that is created again begins at sequence 1.
	if err := js.DeleteStream(t.Context(), "BACKBURN_RESULTS"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BACKBURN_RESULTS", Subjects: []string{"backburn.results.>"}}); err != nil {
		t.Fatal(err)
	}
	publish("again")
	until("the events of the new stream", func(b *history.Summary, st history.State) bool {
		return st.Ready && len(b.Job("mail", "again")) == 1 && len(b.Job("mail", "old")) == 0
	})

	// A clock that is ahead does not prevent the count of later events.
	publishAt("future", time.Now().Add(100*365*24*time.Hour))
	publish("later")
	until("the counts of the present", func(b *history.Summary, _ history.State) bool {
		verdicts, arrived := 0, 0
		for _, h := range b.Overview(time.Now()).Hours {
			verdicts += h.Verdicts["malware"]
			arrived += h.Arrived
		}
		return verdicts == 3 && arrived == 3
	})
}
