package mail

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/judge"
	"backburn/internal/local"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

// slowQueue takes some time for each submission, and has no final events.
type slowQueue struct{ took time.Duration }

func (q slowQueue) Submit(ctx context.Context, _ pipeline.Job, _ queue.Input) (queue.Receipt, error) {
	return queue.Receipt{}, pipeline.Sleep(ctx, q.took)
}

func (slowQueue) Await(ctx context.Context, _ pipeline.Ref) (results.Event, error) {
	<-ctx.Done()
	return results.Event{}, queue.ErrNoFinalEvent
}

func (slowQueue) Sample(context.Context, string) (queue.SampleEntry, error) {
	return queue.SampleEntry{}, nil
}

// Postfix gives up after five minutes, so a mail is answered before, however slow the queue is.
func TestMailsAreNotHeldTooLong(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name        string
		attachments int
		took        time.Duration // of each submission
		wait, held  time.Duration
		want        string
	}{
		{"a fast queue", 3, 0, 30 * time.Second, 30 * time.Second, "451 4.7.1 No verdict"},
		{"slow submissions", 4, 25 * time.Second, time.Minute, 100*time.Second + time.Minute, "451 4.7.1 No verdict"},
		{"slow submissions and a long wait", 4, 25 * time.Second, 4 * time.Minute, 4 * time.Minute, "451 4.7.1 No verdict"},
		{"very slow submissions", 20, 25 * time.Second, 4 * time.Minute, 4 * time.Minute, "451 4.3.0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			q := slowQueue{tc.took}
			life, end := context.WithCancel(t.Context())
			defer end()
			s := &Server{
				Server: &local.Server{Life: life, Ending: life},
				cfg:    DefaultConfig(),
				deps: Deps{
					Judge: judge.New(judge.Config{Ledger: q, Intake: q, ReuseDuration: func(wildfire.Verdict) time.Duration { return 0 }}),
					Log:   zerolog.Nop(),
				},
				mails: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mails"}, []string{"outcome"}),
			}
			s.cfg.Unknown, s.cfg.Wait = UnknownTempfail, tc.wait
			m := &message{id: "mail-1", body: judge.NewSpool(s.cfg.MaxMessage)}
			defer m.body.Close()
			m.header.add("Content-Type", "multipart/mixed; boundary=b")
			for i := range tc.attachments {
				_, err := fmt.Fprintf(m.body, "--b\r\nContent-Type: application/octet-stream\r\n\r\nMZ%d\r\n", i)
				if err != nil {
					t.Fatal(err)
				}
			}

			began := time.Now()
			answer, err := s.decide(m, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			if text := string(answer.Response().Data); time.Since(began) != tc.held || !strings.HasPrefix(text, tc.want) {
				t.Errorf("%s: %q after %s, want %q after %s", tc.name, text, time.Since(began), tc.want, tc.held)
			}
		})
	}
}
