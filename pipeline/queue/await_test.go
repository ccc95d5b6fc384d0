package queue

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/results"
)

// consumerRequests reads the requests that create and remove consumers of a stream.
type consumerRequests struct {
	t   *testing.T
	sub *nats.Subscription
}

func watchConsumers(t *testing.T, q *Queue, stream string) consumerRequests {
	t.Helper()
	sub, err := q.Conn().SubscribeSync("$JS.API.CONSUMER.*." + stream + ".>")
	if err != nil {
		t.Fatal(err)
	}

	return consumerRequests{t, sub}
}

// next returns the next request: "CREATE" or "DELETE".
func (c consumerRequests) next() string {
	c.t.Helper()
	m, err := c.sub.NextMsg(30 * time.Second)
	if err != nil {
		c.t.Fatalf("no further request about a consumer: %v", err)
	}

	return strings.Split(m.Subject, ".")[3]
}

// waitRemoved waits until that many consumers were created, and as many removed.
func (c consumerRequests) waitRemoved(consumers int) {
	c.t.Helper()
	for created, removed := 0, 0; created < consumers || removed < created; {
		switch c.next() {
		case "CREATE":
			created++
		case "DELETE":
			removed++
		}
	}
}

func finish(t *testing.T, q *Queue, source, id string) {
	t.Helper()
	m := aJob(source, id)
	ev := pipeline.FailedEvent(m.Job, results.Error{Reason: results.Rejected, Message: "no"}, 1, time.Now())
	if _, err := q.Events().Finish(t.Context(), m, Ending{Event: ev, Sample: m.Job.SHA256}); err != nil {
		t.Fatal(err)
	}
}

// A server limits the consumers of a stream. However many callers of a process wait for jobs, they
// share one consumer, and the last one removes it.
func TestWaitsShareAConsumer(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	requests := watchConsumers(t, q, q.LedgerStream())

	var all sync.WaitGroup
	await := func(id string) {
		all.Go(func() {
			ev, err := q.Ledger().Await(t.Context(), pipeline.Ref{Source: "mail", ID: id})
			if err != nil || ev.Data.JobID != id {
				t.Errorf("%s: %+v, %v", id, ev, err)
			}
		})
	}
	await("first")
	if op := requests.next(); op != "CREATE" {
		t.Fatalf("the first request is %s", op)
	}

	const waits = 50
	for i := range waits {
		await(fmt.Sprint(i))
	}
	for i := range waits {
		finish(t, q, "mail", fmt.Sprint(i))
	}
	finish(t, q, "mail", "first")
	all.Wait()
	if op := requests.next(); op != "DELETE" {
		t.Errorf("the next request is %s", op)
	}

	finish(t, q, "mail", "late")
	await("late") // its event exists already
	all.Wait()
	requests.waitRemoved(1)
	info, err := q.streams.ledger.Info(t.Context())
	if err != nil || info.State.Consumers != 0 {
		t.Errorf("%d consumers are left (%v)", info.State.Consumers, err)
	}
}

// Whoever reads a stream removes its consumers, also if it stops early.
func TestReadersRemoveTheirConsumers(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	for i := range 3 {
		finish(t, q, "mail", fmt.Sprint(i))
	}
	for name, tc := range map[string]struct {
		stream    string
		consumers int // one for each request
		read      func() error
	}{
		"jobs": {q.LedgerStream(), 2, func() error {
			for _, err := range q.ledger.readJobs(t.Context()) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		"one job": {q.LedgerStream(), 2, func() error {
			for _, err := range q.ledger.readJobs(t.Context()) {
				return err
			}
			return nil
		}},
		"followed": {q.LedgerStream(), 1, func() error { return followed(t, q) }},
		"events": {q.ResultsStream(), 2, func() error {
			_, err := q.events.hasEvent(t.Context(), time.Now(), []string{q.ResultsSubject("*", "*", "mail")}, "none")
			return err
		}},
		"dead letters": {q.DeadStream(), 2, func() error {
			for _, err := range q.dead.All(t.Context(), DeadFilter{}) {
				return err
			}
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			requests := watchConsumers(t, q, tc.stream)
			if err := tc.read(); err != nil {
				t.Fatal(err)
			}
			requests.waitRemoved(tc.consumers)
			_ = requests.sub.Unsubscribe()
		})
	}
}

func followed(t *testing.T, q *Queue) error {
	t.Helper()
	caughtUp := make(chan struct{}, 10)
	stop, err := q.ledger.FollowJobs(t.Context(), func(JobHeader) {}, func() { caughtUp <- struct{}{} })
	if err != nil {
		return err
	}
	<-caughtUp
	stop()

	return nil
}
