package testkit

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/judge"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// Pipeline is a real queue in the test itself, with a simulated WildFire.
type Pipeline struct {
	t        testing.TB
	NATS     *server.Server
	Queue    *queue.Queue
	WildFire *wildfiretest.Server
	web      *httptest.Server
	config   pipeline.Config
}

// NewPipeline makes a queue without workers.
func NewPipeline(t testing.TB, opts ...wildfiretest.Option) *Pipeline {
	t.Helper()
	p := &Pipeline{t: t, NATS: StartNATS(t, &server.Options{}), config: pipeline.DefaultConfig()}
	nc := must(nats.Connect(p.NATS.ClientURL()))(t)
	t.Cleanup(nc.Close)
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	p.Queue = must(queue.Open(ctx, nc, queue.Topology{
		Prefix: "backburn", Replicas: 1, Lease: 3 * time.Second, Results: queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30},
	}))(t)
	p.WildFire = wildfiretest.New(append([]wildfiretest.Option{wildfiretest.WithDelay(0), wildfiretest.WithUnknownFor(0)}, opts...)...)
	p.web = p.WildFire.Start()
	t.Cleanup(p.web.Close)

	return p
}

// Root sets the folder with the contents of a source. Call it before Work.
func (p *Pipeline) Root(source, folder string) {
	p.config.Roots = map[string]string{source: folder}
}

// Work runs a worker on the queue until the test ends.
func (p *Pipeline) Work() {
	p.t.Helper()
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = p.web.URL
	wf := must(wildfire.New(cfg, wildfire.StaticToken("token")))(p.t)
	p.t.Cleanup(wf.Close)
	c := p.config
	c.Rate = 0
	c.UploadsPerDay = 0
	c.QueriesPerDay = 0
	c.Lease = 3 * time.Second
	c.FirstPoll, c.MaxPoll = 50*time.Millisecond, 200*time.Millisecond
	w := must(worker.New(p.Queue, c, wf, wf))(p.t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	p.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			p.t.Errorf("worker: %v", err)
		}
	})
}

// Judge answers from the queue.
func (p *Pipeline) Judge() *judge.Judge {
	return judge.New(judge.Config{Ledger: p.Queue.Ledger(), Intake: p.Queue.Publisher(), ReuseDuration: p.config.ReuseDuration})
}

// Forget makes every verdict expire, for workers and judges that are created later.
func (p *Pipeline) Forget() { p.config.BenignAge, p.config.MaliciousAge = 0, 0 }

// Finals waits for n final events of a source, and returns them.
func (p *Pipeline) Finals(source string, n int) []results.Event {
	p.t.Helper()

	return FinalsOf(p.t, p.Queue.JetStream(), source, n)
}

// FinalsOf reads events of a source, from the first one, until there are n final ones.
func FinalsOf(t testing.TB, js jetstream.JetStream, source string, n int) []results.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	var found []results.Event
	sub := results.NewSubscriber(js, results.SubscriberConfig{Since: time.Unix(1, 0), Filter: results.Filter{Sources: []string{source}}})
	err := sub.Run(ctx, func(_ context.Context, e results.Event) error {
		if e.Type.Final() {
			found = append(found, e)
		}
		if len(found) >= n {
			return results.ErrStop
		}

		return nil
	})
	if len(found) < n {
		t.Fatalf("%d final events of %s, want %d: %v", len(found), source, n, err)
	}

	return found
}
