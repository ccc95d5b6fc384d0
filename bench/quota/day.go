package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"backburn/internal/testkit"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// simulatedDay describes the simulated day. About 35 % of the arriving files repeat an earlier one,
// as many are known to WildFire, and 30 % are new to everybody. WildFire takes the duration in
// analysis for a verdict.
type simulatedDay struct {
	Arrivals, Uploads, Queries, Urgent int

	Length time.Duration // real time of a simulated day
	Until  float64       // days
	Seed   uint64
}

const (
	reservePercent = 10
	analysis       = 5 * time.Minute
	urgentStart    = 20 * time.Hour
	countingTime   = 23*time.Hour + 40*time.Minute // time of day at which results are counted
)

// clock simulates a day in Length, starting at midnight.
type clock struct {
	speed float64
	began time.Time
}

var midnight = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func (c clock) now() time.Time {
	return midnight.Add(time.Duration(float64(time.Since(c.began)) * c.speed))
}

// realDuration returns the real time for a simulated duration d.
func (c clock) realDuration(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.speed)
}

// arrival is an arriving file.
type arrival struct {
	at       time.Duration // time of day
	id, body string
	priority pipeline.Priority
}

// report has the results.
type report struct {
	simulatedDay
	Fresh, Known, Repeats int            // arrivals by kind
	Resolved              int            // with a verdict at countingTime of the first day
	Bases                 map[string]int // verdicts by basis
	UrgentResolved        int
	Spent                 [2]usage // WildFire's count of both days
	Refused               int      // calls that it answered with 419
	Pending               int      // files without a verdict at countingTime of the first day
	AfterReset            int      // of those, with a verdict at the end
	Failed                int
	Polls                 int // queries that one per file and minute would be, plus one on arrival
}

type usage struct{ Uploads, Queries int }

func (r report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d arrivals (%d new to everybody, %d known to WildFire, %d repeats; %d urgent), allowed %d uploads and %d queries a day\n",
		r.Arrivals+r.Urgent, r.Fresh, r.Known, r.Repeats, r.simulatedDay.Urgent, r.Uploads, r.Queries)
	fmt.Fprintf(&b, "first day: %d resolved (%v), with %d uploads and %d queries; %d calls refused with 419; %d failed\n",
		r.Resolved, r.Bases, r.Spent[0].Uploads, r.Spent[0].Queries, r.Refused, r.Failed)
	fmt.Fprintf(&b, "files resolved per upload %.1f, per query %.1f\n",
		float64(r.Resolved)/float64(max(r.Spent[0].Uploads, 1)), float64(r.Resolved)/float64(max(r.Spent[0].Queries, 1)))
	fmt.Fprintf(&b, "one query per file and minute until the verdict would be %d queries: %.1f times as many\n",
		r.Polls, float64(r.Polls)/float64(max(r.Spent[0].Queries, 1)))
	fmt.Fprintf(&b, "urgent files in the evening: %d of %d resolved the same day\n", r.UrgentResolved, r.simulatedDay.Urgent)
	fmt.Fprintf(&b, "left for the next days: %d; resolved automatically by day %.1f: %d, with %d uploads of the second day",
		r.Pending, r.Until, r.AfterReset, r.Spent[1].Uploads)

	return b.String()
}

// run simulates the day with two workers.
func (d simulatedDay) run(t testing.TB) report {
	t.Helper()
	r := report{simulatedDay: d, Bases: map[string]int{}}
	rnd := rand.New(rand.NewPCG(d.Seed, 7))
	c := &clock{speed: float64(24*time.Hour) / float64(d.Length), began: time.Now()}
	var mu sync.Mutex
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return c.now() }
	sim := wildfiretest.New(wildfiretest.WithNow(now), wildfiretest.WithDelay(analysis), wildfiretest.WithUnknownFor(0),
		wildfiretest.WithQuota(d.Uploads, d.Queries), wildfiretest.WithCapacity(20_000, 100_000))
	web := sim.Start()
	t.Cleanup(web.Close)
	arrivals := d.makeArrivals(rnd, sim, &r)

	ns := testkit.StartNATS(t, &server.Options{})
	q := openQueue(t, ns.ClientURL())
	mu.Lock()
	c.began = time.Now() // everything is set up
	mu.Unlock()
	for range 2 {
		d.startWorker(t, openQueue(t, ns.ClientURL()), web.URL, now, c)
	}

	var events sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	finals := map[string]final{}
	events.Go(func() {
		_ = results.NewSubscriber(q.JetStream(), results.SubscriberConfig{}).Run(ctx, func(_ context.Context, e results.Event) error {
			if e.Type.Final() {
				mu.Lock()
				finals[e.Data.JobID] = final{at: c.now(), Event: e}
				mu.Unlock()
			}

			return nil
		})
	})
	for _, a := range arrivals {
		waitUntil(t, c, a.at)
		body := []byte(a.body)
		if _, err := q.Publisher().Submit(t.Context(), pipeline.Job{
			ID: a.id, Source: "mail", Priority: a.priority, Filename: "sample.exe",
		}, queue.FromReader(bytes.NewReader(body), int64(len(body)))); err != nil {
			t.Fatal(err)
		}
	}

	waitUntil(t, c, countingTime)
	r.Spent[0].Uploads, r.Spent[0].Queries = sim.Spent("token")
	mu.Lock()
	d.countFirstDay(arrivals, finals, &r)
	mu.Unlock()
	end := time.Duration(d.Until * float64(24*time.Hour))
	waitUntil(t, c, min(24*time.Hour+countingTime, end))
	r.Spent[1].Uploads, r.Spent[1].Queries = sim.Spent("token")
	waitUntil(t, c, end)
	mu.Lock()
	r.AfterReset = len(finals) - (d.Arrivals + d.Urgent - r.Pending)
	mu.Unlock()
	r.Refused = sim.CountStatus(wildfire.OpSubmitFile, 419) + sim.CountStatus(wildfire.OpVerdicts, 419)
	cancel()
	events.Wait()

	return r
}

// final is a final event and its time.
type final struct {
	at time.Time
	results.Event
}

// countFirstDay fills in the results of the first day.
func (d simulatedDay) countFirstDay(arrivals []arrival, came map[string]final, r *report) {
	for _, a := range arrivals {
		e, ok := came[a.id]
		r.Polls++ // on arrival
		if !ok {
			r.Pending++
			continue
		}

		if e.Type != results.Verdict {
			r.Failed++
			continue
		}

		r.Resolved++
		r.Bases[string(e.Data.Basis)]++
		if e.Data.Basis == results.BasisUpload {
			r.Polls += int(analysis / time.Minute)
		}
		if a.priority == pipeline.Urgent {
			r.UrgentResolved++
		}
	}
}

// makeArrivals creates the arrivals of the day, and adds the known files to the simulated WildFire.
func (d simulatedDay) makeArrivals(rnd *rand.Rand, sim *wildfiretest.Server, r *report) []arrival {
	all := make([]arrival, 0, d.Arrivals+d.Urgent)
	for i := range d.Arrivals {
		a := arrival{at: time.Duration(rnd.Int64N(int64(23 * time.Hour))), priority: pipeline.Normal, body: fmt.Sprint("MZ new ", i)}
		switch x := rnd.IntN(100); {
		case x < 35 && len(all) > 0:
			a.body = all[rnd.IntN(len(all))].body
			r.Repeats++
		case x < 70:
			a.body = fmt.Sprint("MZ known ", i)
			sum := sha256.Sum256([]byte(a.body))
			sim.Know(wildfiretest.Known{SHA256: hex.EncodeToString(sum[:]), Verdict: wildfire.Malware})
			r.Known++
		default:
			r.Fresh++
		}

		all = append(all, a)
	}

	for i := range d.Urgent {
		all = append(all, arrival{at: urgentStart + time.Duration(i)*time.Minute, priority: pipeline.Urgent, body: fmt.Sprint("MZ urgent ", i)})
		r.Fresh++
	}

	slices.SortFunc(all, func(a, b arrival) int { return int(a.at - b.at) })
	for i := range all {
		all[i].id = fmt.Sprintf("%s-%d", all[i].priority, i)
	}

	return all
}

// waitUntil waits for a simulated time, counted from the first midnight.
func waitUntil(t testing.TB, c *clock, at time.Duration) {
	t.Helper()
	select {
	case <-time.After(time.Until(c.began.Add(c.realDuration(at)))):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// startWorker runs a worker. Its waits by the simulated clock have their usual lengths; its waits
// in real time (leases, redelivery delays) are short.
func (d simulatedDay) startWorker(t testing.TB, q *queue.Queue, url string, now func() time.Time, c *clock) {
	t.Helper()
	wcfg := wildfire.DefaultConfig()
	wcfg.BaseURL = url
	client, err := wildfire.New(wcfg, wildfire.StaticToken("token"))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(client.Close)
	cfg := pipeline.DefaultConfig()
	cfg.UploadsPerDay = d.Uploads
	cfg.QueriesPerDay = d.Queries
	cfg.ReservePercent = reservePercent
	cfg.Rate, cfg.Lease = 0, lease
	cfg.RetryMin, cfg.RetryMax = 10*time.Millisecond, time.Hour // the poller counts the latter by the clock
	w, err := worker.New(q, cfg, client, client, worker.WithClock(now), worker.WithTick(c.realDuration(10*time.Second)))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
}

const lease = 3 * time.Second

func openQueue(t testing.TB, url string) *queue.Queue {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(nc.Close)
	q, err := queue.Open(t.Context(), nc, queue.Topology{
		Prefix: "backburn", Replicas: 1, Lease: lease, Results: queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 1 << 30},
	})
	if err != nil {
		t.Fatal(err)
	}

	return q
}
