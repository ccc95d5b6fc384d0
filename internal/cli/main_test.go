package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/httpserver"
	"backburn/internal/local"
	"backburn/internal/natsconn"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
)

// The test binary is also a program that waits for signals, as daemons do.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"waiter": func() {
		std := cli.Std{Args: os.Args[1:], Env: os.LookupEnv, Out: os.Stdout, Err: os.Stderr}
		os.Exit(cli.Run(context.Background(), waitForSignalCommand, std))
	}})
}

// waitForSignalCommand prints "ready", waits for a signal, and prints "ending". Its first argument
// decides how it ends: "well", with an error ("badly"), or not at all ("never").
func waitForSignalCommand(std cli.Std) *cobra.Command {
	out := std.Out

	return &cobra.Command{Use: "waiter", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		fmt.Fprintln(out, "ready")
		<-cmd.Context().Done()
		fmt.Fprintln(out, "ending", context.Cause(cmd.Context()))
		switch args[0] {
		case "well":
			return context.Cause(cmd.Context())
		case "badly":
			return errors.New("could not hand the work back")
		}
		select {}
	}}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot send signals here")
	}

	for name, tc := range map[string]struct {
		mode   string
		send   []os.Signal
		code   int
		stderr string
	}{
		"interrupted":                    {"well", []os.Signal{os.Interrupt}, 130, ""},
		"terminated":                     {"well", []os.Signal{syscall.SIGTERM}, 143, ""},
		"interrupted, the command fails": {"badly", []os.Signal{os.Interrupt}, 130, "waiter: could not hand the work back\n"},
		"terminated, then interrupted":   {"never", []os.Signal{syscall.SIGTERM, os.Interrupt}, 130, ""},
		"interrupted, then terminated":   {"never", []os.Signal{os.Interrupt, syscall.SIGTERM}, 143, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // kills a process that hangs
			defer cancel()
			cmd := exec.CommandContext(ctx, "waiter", tc.mode)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}

			lines := bufio.NewScanner(stdout)
			for _, s := range tc.send {
				if !lines.Scan() { // "ready", then "ending"
					t.Fatalf("it ended before the signal: %s", stderr.String())
				}
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}

			for lines.Scan() {
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tc.code || stderr.String() != tc.stderr {
				t.Errorf("exit code %d, want %d; stderr %q, want %q", code, tc.code, stderr.String(), tc.stderr)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		code   int
		stderr string
	}{
		"fine":                    {nil, 0, ""},
		"silent":                  {cli.Exit(cli.Malicious, nil), 1, ""},
		"usage":                   {cli.Usagef("expected %s", "a hash"), 2, "tool: expected a hash\nSee `tool --help`.\n"},
		"configuration":           {fmt.Errorf("start: %w", config.Problems{{File: "b.toml", Line: 2, Column: 1, Key: "k", Message: "m"}}), 2, "b.toml:2:1: k: m\n"},
		"defaults":                {config.Problems{{Key: "k", Message: "m"}, {Key: "l", Message: "n"}}, 2, "tool: k: m\ntool: l: n\n"},
		"a part failed":           {errors.New("3 of 5 files could not be read"), 3, "tool: 3 of 5 files could not be read\n"},
		"nobody answers":          {fmt.Errorf("connect: %w", natsconn.ErrUnreachable), 4, "tool: connect: no NATS server answers\n"},
		"folder unusable":         {fmt.Errorf("watch in: %w", watch.ErrUnusable), 2, "tool: watch in: the folder cannot be watched as configured\nSee `tool --help`.\n"},
		"no JetStream":            {queue.ErrUnavailable, 4, "tool: JetStream is not available\n"},
		"socket in use":           {local.ErrListen, 4, "tool: cannot listen on the address\n"},
		"address in use":          {httpserver.ErrListen, 4, "tool: cannot listen on the address\n"},
		"a hostile name":          {fmt.Errorf("open %s: %w", "a\x1b[31m\u202eb", errors.New("first\nsecond")), 3, "tool: open a\\x1b[31m\\u202eb: first\nsecond\n"},
		"refused":                 {natsconn.ErrRefused, 4, "tool: the NATS server refuses the credentials\n"},
		"code of a wrapped error": {fmt.Errorf("start: %w", cli.Exit(cli.Unreachable, errors.New("port in use"))), 4, "tool: start: port in use\n"},
	} {
		t.Run(name, func(t *testing.T) {
			// Not parallel, because Run handles the signals of the process.
			var out, err bytes.Buffer
			root := &cobra.Command{Use: "tool", RunE: func(*cobra.Command, []string) error { return tc.err }}
			code := cli.Run(t.Context(), always(root), cli.Std{Args: []string{}, Out: &out, Err: &err})
			if code != tc.code || err.String() != tc.stderr {
				t.Errorf("code %d, want %d; stderr %q, want %q", code, tc.code, err.String(), tc.stderr)
			}
		})
	}
}

func always(root *cobra.Command) func(cli.Std) *cobra.Command {
	return func(cli.Std) *cobra.Command { return root }
}

// In a simulation, the suggested commands use the simulation, too.
func TestHintsOfASimulation(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"real":      {[]string{}, "tool: see `backburn dead list` or `backburn run --simulate`\n"},
		"simulated": {[]string{"--simulate"}, "tool: see `backburn dead list --simulate` or `backburn run --simulate`\n"},
	} {
		var err bytes.Buffer
		build := func(std cli.Std) *cobra.Command {
			root := &cobra.Command{Use: "tool"}
			cli.NewApp(root, std).BindSimulation(root.Flags(), "")
			root.RunE = func(*cobra.Command, []string) error {
				return errors.New("see `backburn dead list` or `backburn run --simulate`")
			}

			return root
		}
		cli.Run(t.Context(), build, cli.Std{Args: tc.args, Out: io.Discard, Err: &err})
		if err.String() != tc.want {
			t.Errorf("%s: %q, want %q", name, err.String(), tc.want)
		}
	}
}

// fullDisk accepts a first write.
type fullDisk struct{ written bool }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.written {
		return 0, syscall.ENOSPC
	}
	d.written = true

	return len(p), nil
}

// A command whose output is incomplete has failed, even if it does not check.
func TestIncompleteOutputIsAnError(t *testing.T) {
	build := func(std cli.Std) *cobra.Command {
		return &cobra.Command{Use: "tool", RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(std.Out, "first")
			fmt.Fprintln(std.Out, "second")

			return nil
		}}
	}
	var err bytes.Buffer
	code := cli.Run(t.Context(), build, cli.Std{Args: []string{}, Out: &fullDisk{}, Err: &err})
	if code != cli.Partial || !strings.Contains(err.String(), syscall.ENOSPC.Error()) {
		t.Errorf("code %d, stderr %q", code, err.String())
	}
}

func TestErrorsOfCobraAreUsageErrors(t *testing.T) {
	for _, args := range [][]string{{"--nope"}, {"extra"}} {
		var err bytes.Buffer
		root := &cobra.Command{Use: "tool", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return nil }}
		if code := cli.Run(t.Context(), always(root), cli.Std{Args: args, Out: io.Discard, Err: &err}); code != cli.Usage ||
			!strings.Contains(err.String(), "See `tool --help`") {
			t.Errorf("%q: code %d, stderr %q", args, code, err.String())
		}
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	write := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		root := &cobra.Command{Use: "tool"}
		tool := cli.NewApp(root, cli.Std{Env: func(string) (string, bool) { return "", false }, Err: &out})
		if err := root.ParseFlags(args); err != nil {
			t.Fatal(err)
		}

		cfg, err := tool.Config()
		if err != nil {
			t.Fatal(err)
		}

		log := tool.Logger(cfg)
		log.Debug().Msg("a step")
		log.Warn().Err(errors.New("away")).Str("job", "j").Msg("will retry")

		return out.String()
	}
	var line map[string]string
	if err := json.Unmarshal([]byte(write()), &line); err != nil {
		t.Fatalf("not one JSON object: %v", err)
	}

	at, err := time.Parse(time.RFC3339, line["time"])
	if err != nil || !strings.HasSuffix(line["time"], "Z") || time.Since(at).Abs() > time.Hour {
		t.Errorf("time %q: %v", line["time"], err)
	}
	if line["level"] != "warn" || line["err"] != "away" || line["job"] != "j" || line["message"] != "will retry" {
		t.Errorf("line %v", line)
	}
	if got := write("--log-level", "debug"); strings.Count(got, "\n") != 2 {
		t.Errorf("debug gave %q", got)
	}
	if got := write("--log-format", "console"); !strings.Contains(got, "WRN will retry") || strings.Contains(got, "\x1b[") {
		t.Errorf("console without a terminal gave %q", got)
	}
}

// A reload while an editor replaces the default file does not fall back to the defaults.
func TestReloadWithoutTheFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile(cli.DefaultFile, []byte("[log]\nlevel = 'debug'\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	tool := cli.NewApp(&cobra.Command{Use: "tool"}, cli.Std{Env: func(string) (string, bool) { return "", false }})
	cfg, err := tool.Config()
	if err != nil {
		t.Fatal(err)
	}

	reload := tool.NewReload(cfg, 0)
	if again, err := reload.Read(); err != nil || again.Log.Level != "debug" {
		t.Errorf("level %q, %v", again.Log.Level, err)
	}
	if err := os.Remove(cli.DefaultFile); err != nil {
		t.Fatal(err)
	}
	if again, err := reload.Read(); cli.Code(err) != cli.Usage || err == nil {
		t.Errorf("without the file: level %q, %v", again.Log.Level, err)
	}
}

// A command that cannot use the simulation is suggested without the flag.
func TestHintsAtCommandsWithoutASimulation(t *testing.T) {
	var err bytes.Buffer
	build := func(std cli.Std) *cobra.Command {
		root := &cobra.Command{Use: "tool"}
		tool := cli.NewApp(root, std)
		list := &cobra.Command{Use: "list", RunE: func(*cobra.Command, []string) error {
			return errors.New("see `backburn list --all`, `backburn verdict URL` and `backburn other`")
		}}
		tool.BindSimulation(list.Flags(), "")
		root.AddCommand(list, &cobra.Command{Use: "verdict", RunE: list.RunE})

		return root
	}
	cli.Run(t.Context(), build, cli.Std{Args: []string{"list", "--simulate"}, Out: io.Discard, Err: &err})
	want := "tool: see `backburn list --all --simulate`, `backburn verdict URL` and `backburn other`\n"
	if err.String() != want {
		t.Errorf("%q, want %q", err.String(), want)
	}
}
