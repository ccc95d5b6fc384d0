package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rs/zerolog"

	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsconn"
	"backburn/internal/natsd"
	"backburn/internal/testkit"
	"backburn/wildfire/wildfiretest"
)

// TestOperatorScripts runs operators' commands. Every script has its own NATS server, watcher,
// worker, simulated WildFire and backburn.toml.
func TestOperatorScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/operator",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": testkit.Exits, "large": largeCommand, "until": untilCommand},
		Setup:               startScriptEnvironment,
	})
}

// startScriptEnvironment starts the processes for a script, and stops them after the script.
func startScriptEnvironment(env *testscript.Env) error {
	const delay = 100 * time.Millisecond
	sim, err := startSimulation(wildfiretest.WithDelay(delay), wildfiretest.WithUnknownFor(0))
	if err != nil {
		return err
	}

	env.Defer(sim.stop)
	cfg := config.Default()
	cfg.NATS.URL = "nats://127.0.0.1:0"
	cfg.NATS.Embedded.StoreDir = filepath.Join(env.WorkDir, ".nats")
	cfg.NATS.Embedded.SyncAlways = false
	cfg.Results.MaxBytes = 1 << 30 // for a small disk
	cfg.HTTP.Listen = "127.0.0.1:0"
	cfg.Pipeline.FirstPoll, cfg.Pipeline.MaxPoll = delay, 2*delay
	cfg.Pipeline.Rate = 100
	cfg.Pipeline.UploadsPerDay, cfg.Pipeline.QueriesPerDay = 0, 0
	w := &cfg.Watch[0]
	w.Path = filepath.Join(env.WorkDir, "quarantine")
	w.Source = "quarantine"
	w.MinFree = 0
	w.Settle, w.Scan = 50*time.Millisecond, 200*time.Millisecond
	if err := os.MkdirAll(w.Path, 0o700); err != nil {
		return err
	}

	sim.use(&cfg)
	server, err := natsd.Start(context.Background(), cfg, zerolog.Nop())
	if err != nil {
		return err
	}

	env.Defer(server.Shutdown)
	cfg.NATS = server.NATS()
	n, err := app.Start(context.Background(), cfg, app.Roles{Watch: true, Work: true}, zerolog.Nop())
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	env.Defer(func() {
		cancel()
		if err := <-done; err != nil {
			env.T().Log("node:", err)
		}
	})
	env.Setenv("SIMULATED_SECRET", sim.secret)
	nats := cfg.NATS
	for name, c := range map[string]struct {
		natsconn.Config
		http string
	}{
		"backburn.toml": {nats, n.HTTPAddr()},
		"far.toml":      {nats, ""},                                                                                 // on another machine
		"other.toml":    {natsconn.Config{URL: nats.URL, TokenFile: nats.TokenFile, Prefix: "other"}, n.HTTPAddr()}, // has no queue
		"alone.toml":    {natsconn.Config{URL: "nats://127.0.0.1:1", Prefix: "backburn"}, n.HTTPAddr()},             // nobody is there
	} {
		text := fmt.Appendf(nil, scriptConfig, c.URL, c.TokenFile, c.Prefix, cfg.NATS.Embedded.StoreDir, sim.url,
			simulatedClient, simulatedTSG, sim.url+wildfiretest.TokenPath, c.http)
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), text, 0o600); err != nil {
			return err
		}
	}

	return nil
}

// scriptConfig is the configuration of an operator.
const scriptConfig = `
[nats]
url = %q
token_file = %q
prefix = %q
[nats.embedded]
store_dir = %q
[[watch]]
path = "quarantine"
source = "quarantine"
[wildfire]
url = %q
auth = "simulated"
uploads_per_day = 7
[auth.simulated]
kind = "wildfire"
client_id = %q
client_secret = "${SIMULATED_SECRET}"
tsg_id = %q
token_url = %q
[http]
listen = %q
`

// largeCommand writes a file of a size, in bytes, that begins with a text: large FILE SIZE TEXT.
// The name may have the escapes of a Go string.
func largeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: large FILE SIZE TEXT")
	}
	var size int64
	if _, err := fmt.Sscan(args[1], &size); err != nil {
		ts.Fatalf("%v", err)
	}
	name, err := strconv.Unquote(`"` + args[0] + `"`)
	ts.Check(err)
	name = ts.MkAbs(name)
	ts.Check(os.WriteFile(name, []byte(args[2]), 0o600))
	ts.Check(os.Truncate(name, size))
}

// untilCommand runs a program repeatedly until its output matches: until PATTERN PROGRAM [ARG...].
func untilCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN PROGRAM [ARG...]")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_ = ts.Exec(args[1], args[2:]...) // only the output matters
		switch out := ts.ReadFile("stdout"); {
		case want.MatchString(out):
			return
		case time.Now().After(deadline):
			ts.Fatalf("no match for %s in the end:\n%s", args[0], out)
		}
	}
}
