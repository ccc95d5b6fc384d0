// Command search measures how fast the dashboard finds a file among many. It runs jobs through a
// worker to their final events, with a real JetStream server and a simulated WildFire. Then it
// opens the dashboard, and makes typical searches over HTTP while more events arrive.
//
// All searches are requests that the dashboard itself makes. A search without matches examines all
// events. The exit code is 1 if the 95th percentile of a search is above -most.
//
//	go run ./bench/search
//	go run ./bench/search -n 30000
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"backburn/internal/history"
	"backburn/internal/testkit"
	"backburn/internal/ui"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func main() {
	n := flag.Int("n", 300_000, "jobs")
	times := flag.Int("times", 40, "repetitions of each search")
	rate := flag.Int("rate", 50, "events per second during the searches")
	most := flag.Duration("most", 200*time.Millisecond, "limit for the 95th percentile of the answer times")
	flag.Parse()

	if !testkit.Alone(context.Background(), os.Stdout, func(t testing.TB) {
		if err := run(t, *n, *times, *rate, *most); err != nil {
			t.Fatal("search:", err)
		}
	}) {
		os.Exit(1)
	}
}

// sources are the sources of the jobs.
var sources = []string{"mail", "proxy", "share", "upload", "soc", "edge-1", "edge-2"}

func run(t testing.TB, n, times, rate int, most time.Duration) error {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := start(ctx, t)
	if err != nil {
		return err
	}

	began := time.Now()
	if err := s.publish(n); err != nil {
		return err
	}

	last, err := s.finishJobs(ctx, n)
	if err != nil {
		return err
	}

	fmt.Printf("%d jobs have their final events after %s\n", n, time.Since(began).Round(time.Second))

	events := history.NewLog(s.q, history.DefaultLimits(), zerolog.Nop())
	web := httptest.NewServer(ui.New(ui.Config{History: events, Trace: s.q.Trace, Log: zerolog.Nop()}))
	defer web.Close()
	var g errgroup.Group
	g.Go(func() error { return events.Run(ctx) })
	defer func() { cancel(); _ = g.Wait() }()

	opened := time.Now()
	for ready := false; !ready; time.Sleep(20 * time.Millisecond) {
		if _, err := searchOnce(web.URL, url.Values{}, &ready); err != nil {
			return err
		}
	}

	fmt.Printf("the dashboard has read them all %s after it was opened\n", time.Since(opened).Round(time.Millisecond))

	g.Go(func() error { return s.publishEvents(ctx, rate) })

	return measure(web.URL, last, times, most)
}

// measure makes each search and prints the answer times.
func measure(at string, last results.Event, times int, most time.Duration) error {
	d := last.Data
	now := time.Now().UTC()
	slow := false
	for _, q := range []struct {
		what string
		v    url.Values
	}{
		{"newest", url.Values{}},
		{"what is new", url.Values{"after": {"1000000000"}}},
		{"a SHA-256", url.Values{"q": {d.SHA256}}},
		{"the beginning of one", url.Values{"q": {d.SHA256[:9]}}},
		{"an MD5", url.Values{"q": {d.MD5}}},
		{"a file's name", url.Values{"q": {d.Filename}}},
		{"a path", url.Values{"q": {d.Path}}},
		{"a job", url.Values{"q": {d.JobID}}},
		{"a Message-ID", url.Values{"q": {d.Metadata["message-id"]}}},
		{"in all of them", url.Values{"q": {"invoice"}}},
		{"two words", url.Values{"q": {"rechnung müller"}}},
		{"in none", url.Values{"q": {"no file is called so"}}},
		{"eight words in none", url.Values{"q": {"a e i o u 0 1 zz"}}},
		{"malicious ones", url.Values{"outcome": {"malicious"}}},
		{"of a source, in an hour", url.Values{"source": {"proxy"}, "since": {now.Add(-time.Hour).Format(time.RFC3339)}, "q": {"exe"}}},
	} {
		took, matches, err := repeatSearch(at, q.v, times)
		if err != nil {
			return err
		}

		p95 := took[len(took)*95/100]
		fmt.Printf("%-24s %7d found: median %7s, 95 %% within %7s, slowest %7s\n",
			q.what, matches, ms(took[len(took)/2]), ms(p95), ms(took[len(took)-1]))
		slow = slow || p95 > most
	}

	if slow {
		return fmt.Errorf("more than %s", most)
	}

	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// repeatSearch repeats a search, and returns the answer times in ascending order.
func repeatSearch(at string, v url.Values, times int) (took []time.Duration, matches int, err error) {
	for range times {
		began := time.Now()
		matches, err = searchOnce(at, v, nil)
		if err != nil {
			return nil, 0, err
		}

		took = append(took, time.Since(began))
	}

	slices.Sort(took)

	return took, matches, nil
}

// searchOnce makes one search, and returns the number of matching events.
func searchOnce(at string, v url.Values, ready *bool) (matches int, err error) {
	res, err := http.Get(at + "/api/search?" + v.Encode())
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return 0, errors.Join(err, fmt.Errorf("it answers %s: %s", res.Status, body))
	}

	var found struct {
		Ready   bool   `json:"ready"`
		Error   string `json:"error"`
		Matches int    `json:"matches"`
	}
	if err := json.Unmarshal(body, &found); err != nil || found.Error != "" {
		return 0, errors.Join(err, errors.New(found.Error))
	}
	if ready != nil {
		*ready = found.Ready
	}

	return found.Matches, nil
}

// site is a queue on a server, and a simulated WildFire.
type site struct {
	q   *queue.Queue
	url string // of WildFire
}

func start(ctx context.Context, t testing.TB) (s *site, err error) {
	sim := wildfiretest.New(wildfiretest.WithDelay(0), wildfiretest.WithUnknownFor(0), wildfiretest.WithCapacity(2_000_000, 1000))
	web := sim.Start()
	t.Cleanup(web.Close)
	nc, err := nats.Connect(testkit.StartNATS(t, &server.Options{}).ClientURL())
	if err != nil {
		return nil, err
	}

	t.Cleanup(nc.Close)

	s = &site{url: web.URL}
	s.q, err = queue.Open(ctx, nc, queue.Topology{
		Prefix:   "backburn",
		Replicas: 1,
		Lease:    pipeline.DefaultConfig().Lease,
		Results:  queue.EventLimits{MaxAge: 24 * time.Hour, MaxBytes: 8 << 30},
	})

	return s, err
}

// contents is the number of different contents; most contents occur in several files.
const contents = 15_000

// publish submits n files, each with a different name, path and Message-ID.
func (s *site) publish(n int) error {
	js := s.q.JetStream()
	kinds := []string{"invoice", "invoice Müller", "Rechnung Müller", "setup malware"}
	for i := range n {
		name := fmt.Sprintf("%s %d.exe", kinds[i%len(kinds)], i)
		m := nats.NewMsg(s.q.JobSubject(pipeline.Normal, sources[i%len(sources)]))
		m.Data = fmt.Append(nil, "MZ contents ", i%contents)
		for key, value := range map[string]string{
			nats.MsgIdHdr:               fmt.Sprintf("01JD4S9V5K6ZQ8T7R2M0C3%06d", i),
			queue.HeaderFilename:        name,
			queue.HeaderPath:            fmt.Sprintf("/srv/quarantine/%02d/%02d/%s", i%24, i%60, name),
			"Backburn-Meta-message-id":  fmt.Sprintf("<%08x.%06d@mx%d.example.com>", i*7919, i, i%3),
			"Backburn-Meta-client-ip":   "192.0.2.7",
			"Backburn-Meta-recipients":  "a@example.com, b@example.com",
			"Backburn-Meta-mail-server": "mx1.example.com",
		} {
			m.Header[key] = []string{value}
		}

		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(30*time.Second)); err != nil {
			return err
		}
	}

	<-js.PublishAsyncComplete()

	return nil
}

// finishJobs runs a worker until every job has its final event, and returns an event from the
// middle.
func (s *site) finishJobs(ctx context.Context, n int) (results.Event, error) {
	of := wildfire.DefaultConfig()
	of.BaseURL = s.url
	client, err := wildfire.New(of, wildfire.StaticToken("token"))
	if err != nil {
		return results.Event{}, err
	}
	defer client.Close()
	cfg := pipeline.DefaultConfig()
	cfg.Rate = 0
	cfg.UploadsPerDay = 0
	cfg.QueriesPerDay = 0
	cfg.FirstPoll = 500 * time.Millisecond
	cfg.MaxPoll = time.Second
	w, err := worker.New(s.q, cfg, client, client)
	if err != nil {
		return results.Event{}, err
	}

	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { return w.Run(ctx) })
	defer func() { cancel(); _ = g.Wait() }()

	var one results.Event
	seen := 0
	final := results.Filter{Types: []results.Type{results.Verdict, results.Failed}}
	err = results.NewSubscriber(s.q.JetStream(), results.SubscriberConfig{Filter: final}).Run(ctx, func(_ context.Context, e results.Event) error {
		if e.Type == results.Failed {
			return fmt.Errorf("%s failed: %s", e.Data.JobID, e.Data.Error.Message)
		}
		if seen++; seen == n/2 {
			one = e
		}
		if seen == n {
			return results.ErrStop
		}

		return nil
	})

	return one, err
}

// publishEvents publishes events until ctx ends.
func (s *site) publishEvents(ctx context.Context, rate int) error {
	if rate <= 0 {
		return nil
	}

	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	code := 0
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}

		now := time.Now().UTC()
		err := s.q.Events().Publish(ctx, results.Event{Type: results.Verdict, Time: now, Data: results.Data{
			JobID:       fmt.Sprint("later-", i),
			Source:      "mail",
			Filename:    "later.exe",
			SHA256:      fmt.Sprintf("%064x", i),
			Size:        3,
			Verdict:     "benign",
			VerdictCode: &code,
			Basis:       results.BasisLookup,
			ReceivedAt:  now,
			DecidedAt:   now,
		}})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}
