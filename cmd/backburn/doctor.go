package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backburn/auth"
	"backburn/internal/acl"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/health"
	"backburn/internal/natsconn"
	"backburn/internal/natsd"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
)

func doctorCommand(tool *cli.App) *cobra.Command {
	d := &doctor{tool: tool}
	var online bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything that Backburn needs",
		Long: `Checks everything that Backburn needs: the configuration and its files, NATS and JetStream, the
disk of the embedded server's store, the folders, a token of each profile (one attempt each),
and the workers. Each finding begins with ok, warn or fail. After warn and fail it says what to do,
if that is known.

WildFire itself is asked only with --online, about an unknown hash. That costs one of the day's
queries. With --simulate it checks the simulation of "backburn run --simulate", which needs no
token. Exit code 3 means that a check failed.`,
		Example: `  backburn doctor
  backburn doctor --online
  backburn doctor --simulate
  backburn doctor --json | jq 'select(.level != "ok")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if online && tool.Simulated() {
				return cli.Usagef("either --online or --simulate: a simulation has no service to ask")
			}
			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			return d.runChecks(cmd.Context(), cfg, online)
		},
	}
	cmd.Flags().BoolVar(&online, "online", false, "ask WildFire too; costs one query")
	simulationFlag(tool, cmd.Flags())
	cmd.Flags().BoolVar(&d.asJSON, "json", false, "one JSON object per line")

	return cmd
}

// level is the severity of a finding.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // it works, but not as it should
	levelFail level = "fail" // it cannot work like this
)

// finding is the result of one check.
type finding struct {
	Check  string `json:"check"`
	Level  level  `json:"level"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

type doctor struct {
	tool   *cli.App
	asJSON bool
	failed int
	err    error // of the output
}

// report prints a finding at once.
func (d *doctor) report(f finding) {
	f.Detail = d.tool.Hints(f.Detail)
	f.Fix = d.tool.Hints(f.Fix)
	if f.Level == levelFail {
		d.failed++
	}
	if d.err != nil {
		return
	}

	if d.asJSON {
		d.err = printJSON(d.tool.Out, f)
		return
	}

	if _, d.err = fmt.Fprintf(d.tool.Out, "%-4s  %-12s  %s\n", f.Level, f.Check, cli.Printable(f.Detail)); f.Fix != "" && d.err == nil {
		_, d.err = fmt.Fprintf(d.tool.Out, "%20s%s\n", "", cli.Printable(f.Fix))
	}
}

func (d *doctor) ok(check, format string, args ...any) {
	d.report(finding{check, levelOK, fmt.Sprintf(format, args...), ""})
}

func (d *doctor) warn(check, fix, format string, args ...any) {
	d.report(finding{check, levelWarn, fmt.Sprintf(format, args...), fix})
}

func (d *doctor) fail(check, fix string, err error) {
	d.report(finding{check, levelFail, strings.Join(strings.Fields(err.Error()), " "), fix})
}

// runChecks runs all checks. What a process needs first is checked first.
func (d *doctor) runChecks(ctx context.Context, cfg config.Config, online bool) error {
	d.ok("config", "%s can be read", d.tool.ConfigOrigin())
	d.files(ctx, cfg)
	d.disk(cfg)
	nc, q := d.nats(ctx, cfg)
	if nc != nil {
		defer nc.Close()
	}
	if q != nil {
		d.fleet(ctx, q)
	}

	if !cfg.Simulated() {
		d.tokens(ctx, cfg, q)
		if online {
			d.wildfire(ctx, cfg)
		} else {
			fmt.Fprintln(d.tool.Err, "WildFire itself was not asked; --online asks it, which costs one query.")
		}
	}

	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case d.err != nil:
		return d.err
	case d.failed > 0:
		return cli.Exit(cli.Partial, fmt.Errorf("%s failed", plural(d.failed, "check")))
	}

	return nil
}

// files checks the files and folders that the configuration names.
func (d *doctor) files(ctx context.Context, cfg config.Config) {
	problems, _ := errors.AsType[config.Problems](cfg.Validate(config.Everything &^ config.ProfilePart))
	folders := 0
	for _, p := range problems {
		check := "files"
		if strings.HasPrefix(p.Key, "watch") {
			check, folders = "folders", folders+1
		}

		d.fail(check, "", errors.New(p.String()))
	}

	if len(problems) == folders {
		d.ok("files", "every configured file exists, and files with secrets are protected from other users")
	}
	if folders > 0 {
		return
	}

	for _, w := range cfg.Watch {
		for _, f := range watch.Check(ctx, w) {
			d.report(finding{"folders", level(f.Level), w.Source + ": " + f.Name + ": " + f.Detail, f.Fix})
		}
	}
}

// disk checks the free space for the store of the embedded server.
func (d *doctor) disk(cfg config.Config) {
	e := cfg.NATS.Embedded
	if !e.Enabled {
		return
	}

	dir, err := filepath.Abs(e.StoreDir)
	if err != nil {
		d.warn("disk", "", "%s", err)
		return
	}

	free, err := natsd.CheckSpace(nearestExistingDir(dir))
	f, _ := errors.AsType[health.Fault](err)
	switch {
	case err == nil:
		d.ok("disk", "%s free for %s", humanSize(free.Bytes()), dir)
	case f.State == health.Degraded:
		d.warn("disk", f.Remedy, "%s", f.Reason)
	default:
		d.fail("disk", f.Remedy, errors.New(f.Reason))
	}
}

// nearestExistingDir returns dir, or its nearest parent that exists.
func nearestExistingDir(dir string) string {
	for {
		_, err := os.Stat(dir)
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return dir
		}
		dir = parent
	}
}

// nats checks the server, JetStream and the queue. Both results may be nil.
func (d *doctor) nats(ctx context.Context, cfg config.Config) (*nats.Conn, *queue.Queue) {
	nc, err := connectAs(ctx, cfg, "doctor", acl.Operator, zerolog.Nop())
	if err != nil {
		d.fail("nats", "", hintSimulation(cfg, err))
		return nil, nil
	}

	d.ok("nats", "connected to %s", nc.ConnectedUrlRedacted())
	actx, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	js, err := natsconn.JetStream(nc, cfg.NATS)
	var account *jetstream.AccountInfo
	if err == nil {
		account, err = js.AccountInfo(actx)
	}

	if err != nil {
		d.fail("jetstream", cfg.NATS.JetStreamRemedy(), err)
		return nc, nil
	}

	limit := "without a limit"
	if account.Limits.MaxStore > 0 {
		limit = "of " + humanSize(account.Limits.MaxStore)
	}

	d.ok("jetstream", "%s stored, %s", humanSize(int64(min(account.Store, 1<<62))), limit)
	q, err := attachTo(ctx, nc, cfg)
	switch {
	case errors.Is(err, queue.ErrNoQueue):
		d.warn("queue", "start `backburn run` or `worker`: the first one creates it", "%s", err)
		return nc, nil
	case err != nil:
		d.fail("queue", "", err)
		return nc, nil
	}

	d.ok("queue", "exists, with the prefix %q", cfg.NATS.Prefix)

	return nc, q
}

// fleet checks for workers, pauses, faults and dead letters.
func (d *doctor) fleet(ctx context.Context, q *queue.Queue) {
	st, err := q.Status(ctx, pipeline.DefaultConfig())
	if err != nil {
		d.fail("workers", "", err)
		return
	}

	if len(st.Workers()) == 0 {
		d.warn("workers", "start `backburn run` or `worker`", "none is running: jobs wait")
	} else {
		d.ok("workers", "%s", plural(len(st.Workers()), "worker"))
	}

	for _, b := range slices.Sorted(maps.Keys(st.Paused)) {
		p, fix := st.Paused[b], "it ends by itself"
		if b == pipeline.Uploads && !p.Spent {
			fix += ", or with `backburn resume`"
		}

		d.warn("pauses", fix, "%s are paused until %s: %s", b, formatTime(p.Until), p.Reason)
	}

	for _, m := range st.Members {
		switch {
		case m.Gone:
			d.warn("processes", "restart it, or wait: it is dropped from the list after one day", "%s on %s stopped without leaving the fleet; last seen at %s", m.Role, m.Host, formatTime(m.Seen))
		case m.State != health.OK && len(m.Unwell) > 0:
			d.warn("processes", m.Unwell[0].Remedy, "%s on %s is %s: %s: %s", m.Role, m.Host, m.State, m.Unwell[0].Name(), m.Unwell[0].Reason)
		}
	}

	if _, n := st.DeadLetters(); n > 0 {
		d.warn("dead", "see `backburn dead list`", "%s to look at", plural(int(n), "dead letter"))
	}
}

// tokens checks the profiles that are configured or used.
func (d *doctor) tokens(ctx context.Context, cfg config.Config, q *queue.Queue) {
	link := fleetLink{queue: q, close: func() {}, reason: natsconn.ErrUnreachable}
	for _, profile := range slices.Sorted(maps.Keys(cfg.Auth)) {
		if profile != cfg.WildFire.Auth && cfg.Auth[profile] == config.Default().Auth[profile] {
			continue // the default profile, neither completed nor used
		}

		d.token(ctx, cfg, profile, link)
	}
}

// tokenTimeout limits one attempt to get a token.
const tokenTimeout = 30 * time.Second

// token makes one attempt to get a token of a profile.
func (d *doctor) token(ctx context.Context, cfg config.Config, profile string, link fleetLink) {
	check := "token"
	if problems, ok := errors.AsType[config.Problems](cfg.CheckProfile(profile)); ok {
		for _, p := range problems {
			if profile == cfg.WildFire.Auth {
				d.fail(check, "without an account, use `backburn run --simulate`", errors.New(p.String()))
			} else {
				d.warn(check, "", "%s", p)
			}
		}

		return
	}

	source, err := tokenSource(ctx, d.tool, cfg, profile, link)
	if err != nil {
		d.fail(check, "", err)
		return
	}
	defer source.Close()
	tctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	_, err = source.Token(tctx)
	switch {
	case errors.Is(err, auth.ErrReauthorize):
		d.fail(check, "run `backburn login "+profile+"`", err)
	case err != nil:
		d.fail(check, "see `backburn token "+profile+" --status`", err)
	default:
		d.ok(check, "%s", tokenLine(source.Status()))
	}
}

// wildfire asks WildFire about a random hash.
func (d *doctor) wildfire(ctx context.Context, cfg config.Config) {
	if cfg.CheckProfile(cfg.WildFire.Auth) != nil {
		return // already reported
	}

	s, err := connectWildFire(ctx, d.tool, cfg, "doctor")
	if err != nil {
		d.fail("wildfire", "", err)
		return
	}
	defer s.close()
	hash := make([]byte, 32)
	_, _ = rand.Read(hash) // never fails (crypto/rand)
	_, err = s.Verdicts(ctx, []string{hex.EncodeToString(hash)})
	s.chargeQueries(ctx, 1)
	if err != nil {
		fix := "check wildfire.url, the network and the proxy"
		if disp := pipeline.Classify(pipeline.OpQuery, err); disp.Action == pipeline.PauseFleet || disp.Action == pipeline.ParkBudget {
			fix = disp.Message
		}

		d.fail("wildfire", fix, err)

		return
	}

	d.ok("wildfire", "%s answers", cfg.WildFire.Client.BaseURL)
}
