package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/testkit/leaks"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// natsServer is a real server with file storage in a temporary folder.
func natsServer(t testing.TB) *server.Server {
	t.Helper()
	return natsServerInDir(t, t.TempDir(), -1)
}

func natsServerInDir(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	return natsServerWithLimit(t, dir, port, server.MAX_PAYLOAD_SIZE)
}

// natsServerWithLimit is a server with the given message limit in bytes.
func natsServerWithLimit(t testing.TB, dir string, port int, maxPayload int32) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		ServerName: "test",
		Host:       "127.0.0.1",
		Port:       port,
		JetStream:  true,
		StoreDir:   dir,
		MaxPayload: maxPayload,
		NoSigs:     true,
		NoLog:      true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server did not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func connect(t testing.TB, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// fixture is a queue on a real server, a simulated WildFire, and workers between them.
type fixture struct {
	t        testing.TB
	q        *queue.Queue
	wildfire *wildfiretest.Server
	web      *httptest.Server
	client   *wildfire.Client
	cfg      pipeline.Config
}

// newFixture sets fast schedules; change cfg before starting a worker.
func newFixture(t testing.TB, opts ...wildfiretest.Option) *fixture {
	t.Helper()
	return newFixtureOn(t, openQueue(t, connect(t, natsServer(t))), opts...)
}

func newFixtureOn(t testing.TB, q *queue.Queue, opts ...wildfiretest.Option) *fixture {
	t.Helper()
	f := &fixture{t: t, q: q}
	f.wildfire = wildfiretest.New(append([]wildfiretest.Option{wildfiretest.WithDelay(50 * time.Millisecond), wildfiretest.WithUnknownFor(0)}, opts...)...)
	f.web = f.wildfire.Start()
	t.Cleanup(f.web.Close)
	f.client = f.newClient("token")
	f.cfg = pipeline.DefaultConfig()
	f.cfg.Rate = 0
	f.cfg.UploadsPerDay = 0
	f.cfg.QueriesPerDay = 0
	f.cfg.Lease = 3 * time.Second
	f.cfg.RetryMin = 10 * time.Millisecond
	f.cfg.RetryMax = 50 * time.Millisecond
	f.cfg.FirstPoll, f.cfg.MaxPoll = 60*time.Millisecond, 200*time.Millisecond
	f.cfg.Roots = map[string]string{}
	return f
}

func (f *fixture) newClient(token string) *wildfire.Client {
	f.t.Helper()
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = f.web.URL
	c, err := wildfire.New(cfg, wildfire.StaticToken(token))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

var topology = queue.Topology{
	Prefix:          "backburn",
	Replicas:        1,
	Lease:           3 * time.Second,
	Results:         queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30},
	ReportsMaxAge:   24 * time.Hour,
	ReportsMaxBytes: 64 << 20,
}

func openQueue(t testing.TB, nc *nats.Conn) *queue.Queue {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	q, err := queue.Open(ctx, nc, topology)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// startWorker starts a worker, and returns a function that stops it and waits for its end.
func (f *fixture) startWorker(opts ...worker.Option) (stop func()) {
	f.t.Helper()
	return f.startWorkerOn(f.q, opts...)
}

func (f *fixture) startWorkerOn(q *queue.Queue, opts ...worker.Option) (stop func()) {
	f.t.Helper()
	if os.Getenv("BACKBURN_TEST_LOG") != "" {
		opts = append([]worker.Option{worker.WithLogger(zerolog.New(zerolog.NewTestWriter(f.t)).Level(zerolog.DebugLevel))}, opts...)
	}
	w, err := worker.New(q, f.cfg, f.client, f.client, append([]worker.Option{worker.WithReports(f.client)}, opts...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(ctx); err != nil {
			f.t.Errorf("worker: %v", err)
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	f.t.Cleanup(stop)
	return stop
}

// submitRaw publishes contents as a gateway does with a raw message.
func (f *fixture) submitRaw(id, source, filename, body string) {
	f.t.Helper()
	f.publish("backburn.jobs.normal."+source, nats.Header{
		nats.MsgIdHdr: {id}, queue.HeaderFilename: {filename},
	}, body)
}

func (f *fixture) publish(subject string, h nats.Header, body string) {
	f.t.Helper()
	m := &nats.Msg{Subject: subject, Header: h, Data: []byte(body)}
	if _, err := f.q.JetStream().PublishMsg(f.t.Context(), m); err != nil {
		f.t.Fatalf("publish to %s: %v", subject, err)
	}
}

// waitEvents collects the events of RESULTS until it has want final events.
func (f *fixture) waitEvents(want int) events {
	f.t.Helper()
	return f.waitEventsUntil(func(es events) bool { return len(es.final()) >= want })
}

// waitEventsUntil collects the events of RESULTS until enough returns true.
func (f *fixture) waitEventsUntil(isComplete func(events) bool) events {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 2*time.Minute)
	defer cancel()
	c := f.resultsConsumer(ctx)
	var all events
	for {
		batch, err := c.Fetch(100, jetstream.FetchMaxWait(200*time.Millisecond))
		if err != nil {
			f.t.Fatal(err)
		}
		for m := range batch.Messages() {
			var ev results.Event
			if err := ev.UnmarshalJSON(m.Data()); err != nil {
				f.t.Fatalf("%s: %v", m.Subject(), err)
			}
			if ev.Subject("backburn") != m.Subject() {
				f.t.Errorf("event %s has the subject %s", ev.ID(), m.Subject())
			}
			all = append(all, ev)
		}
		if isComplete(all) {
			return all
		}
		if ctx.Err() != nil {
			f.t.Fatalf("not enough events:\n%s", all)
		}
	}
}

// resultsConsumer reads RESULTS from its beginning. A request is never answered while the stream
// has no leader, so it is repeated.
func (f *fixture) resultsConsumer(ctx context.Context) jetstream.Consumer {
	f.t.Helper()
	for {
		actx, cancel := context.WithTimeout(ctx, 5*time.Second)
		c, err := f.q.JetStream().OrderedConsumer(actx, f.q.ResultsStream(), jetstream.OrderedConsumerConfig{})
		cancel()
		if err == nil {
			return c
		}
		if ctx.Err() != nil {
			f.t.Fatal(err)
		}
	}
}

// waitIdle waits until no job is queued, held by a worker or waiting.
func (f *fixture) waitIdle() {
	f.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		st, err := f.q.Status(f.t.Context(), f.cfg)
		if err != nil {
			f.t.Fatal(err)
		}
		n := st.Queued.Jobs + st.Pending.Jobs + st.Parked.Jobs
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("still busy: %+v", st)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

type events []results.Event

func (es events) final() events {
	var out events
	for _, e := range es {
		if e.Type.Final() {
			out = append(out, e)
		}
	}
	return out
}

func (es events) ofType(t results.Type) events {
	var out events
	for _, e := range es {
		if e.Type == t {
			out = append(out, e)
		}
	}
	return out
}

func (es events) ofJob(job string) events {
	var out events
	for _, e := range es {
		if e.Data.JobID == job {
			out = append(out, e)
		}
	}
	return out
}

// onlyOf returns the only final event of a job.
func (es events) onlyOf(t testing.TB, job string) results.Event {
	t.Helper()
	f := es.ofJob(job).final()
	if len(f) != 1 {
		t.Fatalf("job %s has %d final events:\n%s", job, len(f), es)
	}
	return f[0]
}

func (es events) String() string {
	var b strings.Builder
	for _, e := range es {
		fmt.Fprintf(&b, "%s %s %s %s %v\n", e.ID(), e.Outcome(), e.Data.Basis, e.Data.Filename, e.Data.Error)
	}
	return b.String()
}

// waitStatus polls the state of the fleet until it is the wanted one.
func (f *fixture) waitStatus(wanted func(queue.Status) bool) queue.Status {
	f.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		st, err := f.q.Status(f.t.Context(), f.cfg)
		if err != nil {
			f.t.Fatal(err)
		}
		if wanted(st) {
			return st
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("the state is still %+v", st)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// submit submits a link, or a job that refers to its contents.
func submit(ctx context.Context, q *queue.Queue, j pipeline.Job) error {
	_, err := q.Publisher().Submit(ctx, j, queue.Input{})

	return err
}

// submitFile submits contents.
func submitFile(ctx context.Context, q *queue.Queue, j pipeline.Job, size int64, open func() (io.ReadCloser, error)) error {
	_, err := q.Publisher().Submit(ctx, j, queue.FromFile(size, open))

	return err
}
