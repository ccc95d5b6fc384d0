package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/pipeline/queue"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// benchmark has the parameters of the benchmark.
type benchmark struct {
	Processes, Slots int
	Lifetime, For    time.Duration
}

// processInput is the input of one process.
type processInput struct {
	Process, Slots int
	NATS, WildFire string
	Until          time.Time
}

// processResult is the result of one process.
type processResult struct {
	Uploads, Failed int
	FirstError      string
}

// totals is the total of all processes.
type totals struct {
	benchmark
	processResult
	TokenRequests int
	Refused       int // uploads that WildFire first answered with 401
	Tokens        int // tokens used for uploads
}

func (r totals) String() string {
	return fmt.Sprintf("%d slots in %d processes for %s, tokens live %s (%.1f lifetimes): %d uploads, %d failed, %d met a 401; %d token requests, %d tokens used, %.2f requests for each",
		r.Processes*r.Slots, r.Processes, r.For, r.Lifetime, float64(r.For)/float64(r.Lifetime), r.Uploads, r.Failed, r.Refused, r.TokenRequests, r.Tokens,
		float64(r.TokenRequests)/float64(max(r.Tokens, 1)))
}

// check checks the results.
func (r totals) check(t testing.TB) {
	t.Helper()
	if r.Failed != 0 || r.Refused != 0 || r.Uploads == 0 {
		t.Errorf("%d of %d uploads failed, %d met a 401: %s", r.Failed, r.Uploads+r.Failed, r.Refused, r.FirstError)
	}

	// A foreign token's last tenth is not used, and a fifth of the rest may be its renewal window.
	shortest := r.Lifetime * 9 / 10 * 4 / 5
	if most := int(r.For/shortest) + 1; r.TokenRequests > most {
		t.Errorf("%d token requests, want at most %d", r.TokenRequests, most)
	}
	if least := int(r.For / r.Lifetime); r.TokenRequests < least {
		t.Errorf("%d token requests: the tokens were not renewed", r.TokenRequests)
	}
	if r.Tokens != r.TokenRequests {
		t.Errorf("%d tokens were requested, but %d used: a process does not share its token", r.TokenRequests, r.Tokens)
	}
}

// run runs all orders concurrently, with one NATS server.
func (c benchmark) run(t testing.TB, natsURL string, carryOut func(context.Context, processInput) (processResult, error)) totals {
	t.Helper()
	r := totals{benchmark: c}
	sim := wildfiretest.New(wildfiretest.WithDelay(0), wildfiretest.WithUnknownFor(0), wildfiretest.WithCapacity(1000, 1_000_000),
		wildfiretest.WithClient(clientID, secret, tsgID), wildfiretest.WithTokenLifetime(c.Lifetime))
	// Uploads are slow, so that some are in progress whenever the token changes.
	sim.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: 300 * time.Millisecond}})
	web := sim.Start()
	defer web.Close()
	var (
		mu  sync.Mutex
		all sync.WaitGroup
	)
	until := time.Now().Add(c.For)
	for i := range c.Processes {
		all.Go(func() {
			o, err := carryOut(t.Context(), processInput{
				Process:  i,
				Slots:    c.Slots,
				NATS:     natsURL,
				WildFire: web.URL,
				Until:    until,
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("process %d: %v", i, err)
			}

			r.Uploads += o.Uploads
			r.Failed += o.Failed
			if r.FirstError == "" {
				r.FirstError = o.FirstError
			}
		})
	}

	all.Wait()
	r.TokenRequests, r.Refused = sim.TokenRequests(), sim.CountStatus(wildfire.OpSubmitFile, 401)
	used := map[string]bool{}
	for _, call := range sim.Calls() {
		if call.Op == wildfire.OpSubmitFile {
			used[call.Token] = true
		}
	}

	r.Tokens = len(used)

	return r
}

const (
	clientID = "bench@1.iam.panserviceaccount.com"
	secret   = "the bench's secret"
	tsgID    = "1"
)

// upload uploads from all slots until the time is up, with its own connection, token source and
// client, as in a real process.
func (o processInput) upload(ctx context.Context) (processResult, error) {
	var out processResult
	nc, err := nats.Connect(o.NATS)
	if err != nil {
		return out, err
	}
	defer nc.Close()
	q, err := queue.Open(ctx, nc, queue.Topology{
		Prefix: "backburn", Replicas: 1, Lease: 15 * time.Second, Results: queue.EventLimits{MaxAge: time.Hour, MaxBytes: 1 << 30},
	})
	if err != nil {
		return out, err
	}

	cfg := config.Default()
	cfg.WildFire.Client.BaseURL = o.WildFire
	cfg.Auth["wildfire"] = auth.Profile{
		Kind: auth.KindWildFire, ClientID: clientID, ClientSecret: auth.NewSecret(secret),
		TSGID: tsgID, TokenURL: o.WildFire + wildfiretest.TokenPath, Share: auth.SharePrefer,
	}
	wcfg := wildfire.DefaultConfig()
	wcfg.BaseURL = o.WildFire
	transport, err := wildfire.NewTransport(wcfg.Network)
	if err != nil {
		return out, err
	}
	defer transport.CloseIdleConnections()
	tokens, err := app.NewTokenSource(ctx, cfg, "wildfire", q, transport, zerolog.Nop(), nil)
	if err != nil {
		return out, err
	}
	defer tokens.Close()
	wcfg.Transport = transport
	client, err := wildfire.New(wcfg, tokens)
	if err != nil {
		return out, err
	}
	defer client.Close()
	var (
		mu    sync.Mutex
		slots sync.WaitGroup
	)
	for slot := range o.Slots {
		slots.Go(func() {
			for n := 0; time.Now().Before(o.Until); n++ {
				body := fmt.Appendf(nil, "MZ %d/%d/%d", o.Process, slot, n)
				_, err := client.SubmitFile(ctx, wildfire.File{Name: "a.exe", Size: int64(len(body)), Open: func() (io.ReadCloser, error) {
					return io.NopCloser(bytes.NewReader(body)), nil
				}})
				mu.Lock()
				if err == nil {
					out.Uploads++
				} else {
					if out.Failed++; out.FirstError == "" {
						out.FirstError = err.Error()
					}
				}

				mu.Unlock()
			}
		})
	}

	slots.Wait()

	return out, nil
}
