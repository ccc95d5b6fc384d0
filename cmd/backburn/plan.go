package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8/decor"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/guard"
	"backburn/internal/plan"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
)

func planCommand(tool *cli.App) *cobra.Command {
	p := &planRun{tool: tool}
	var priority string
	cmd := &cobra.Command{
		Use:   "plan PATH…",
		Short: "Estimate the cost of judging many files",
		Long: `Hashes files and all files below folders, and asks WildFire about the hashes (500 in a query). It
prints how many different contents there are, how many WildFire knows, how many the policy
withholds, and in how many days the rest would be uploaded. It uploads nothing, and does not ask
about verdicts that the fleet already has.

Results are kept in a state file, even if the command is killed. The next run hashes only new or
changed files, and asks only about hashes that have no answer.

--submit PRIORITY submits the unknown files as jobs of --source. The daily budget spreads their
uploads. With --per-day N at most N are submitted on a UTC day; run the command again on the next
day.

The policy treats the files as if they came in messages of --source: their names are not trusted.

Exit code 3 means that a file could not be read.`,
		Example: `  backburn plan /srv/archive
  backburn plan /srv/archive --queries 50 --json
  backburn plan /srv/archive --submit bulk --per-day 40`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.submitAs = pipeline.Priority(priority)
			switch {
			case priority != "" && !p.submitAs.Valid():
				return cli.Usagef("--submit: expected urgent, normal or bulk, got %q", priority)
			case !pipeline.ValidSource(p.source):
				return cli.Usagef("--source: expected %s, got %q", pipeline.SourceRule, p.source)
			case p.perDay < 0, p.perDay > 0 && priority == "":
				return cli.Usagef("--per-day: expected at least 0, and only with --submit")
			case slices.ContainsFunc(args, isURL):
				return cli.Usagef("plan accepts files and folders only; `backburn verdict URL` asks about a link")
			}

			return p.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.source, "source", "plan", "`name` of the source in the policy, in subjects and events")
	f.IntVar(&p.queries, "queries", -1, "make at most `n` queries; -1: the rest of today's budget")
	f.StringVar(&p.statePath, "state", "", "`file` for the results (default: one for these paths in the user's cache)")
	f.StringVar(&priority, "submit", "", "submit files that WildFire does not know, with this `priority`")
	f.IntVar(&p.perDay, "per-day", 0, "submit at most `n` per day; 0: all")
	f.BoolVar(&p.asJSON, "json", false, "as one JSON object")

	return cmd
}

// planReport is the output of the command.
type planReport struct {
	plan.Summary
	Submitted int    `json:"submitted,omitempty"`
	Note      string `json:"note,omitempty"` // why some hashes were not asked about
}

func (p *planRun) run(ctx context.Context, args []string) (err error) {
	cfg, err := p.tool.Config()
	if err != nil {
		return err
	}

	wcfg, err := app.WorkerConfig(cfg)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if p.service, err = connectWildFire(ctx, p.tool, cfg, "plan"); err != nil {
		return err
	}
	defer p.service.close()
	if p.submitAs != "" && p.service.fleet.queue == nil {
		return cli.Exit(cli.Unreachable, fmt.Errorf("--submit needs the queue: %w", p.service.fleet.reason))
	}

	if p.state, err = openPlan(p.statePath, args); err != nil {
		return err
	}
	defer func() {
		if cerr := p.state.Close(); err == nil {
			err = cerr
		}
	}()
	if p.remainingBudgets, err = p.budgets(ctx, wcfg); err != nil {
		return err
	}

	p.guard = guard.New(cfg.Guarded())
	p.inventory = &plan.Inventory{Source: p.source, Config: wcfg}
	if err := p.hash(ctx, args); err != nil {
		return err
	}
	if err := p.useStoredVerdicts(ctx, wcfg); err != nil {
		return err
	}

	note, err := p.ask(ctx)
	if err != nil {
		return err
	}

	r := planReport{Summary: p.inventory.Summarize(p.queriesMade, p.remainingBudgets[pipeline.Uploads], time.Now()), Note: note}
	if p.submitAs != "" {
		if r.Submitted, err = p.submit(ctx); err != nil {
			return err
		}
	}

	if !p.asJSON {
		printPlan(p.tool, r)
	} else if err := printJSON(p.tool.Out, r); err != nil {
		return err
	}

	if r.Unreadable > 0 {
		return cli.Exit(cli.Partial, fmt.Errorf("%s could not be read", plural(r.Unreadable, "file")))
	}

	return nil
}

// openPlan opens the state file. The default is a file in the user's cache, named after the paths.
func openPlan(name string, args []string) (*plan.State, error) {
	if name == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, cli.Usagef("use --state FILE: the user has no cache folder (%v)", err)
		}

		h := sha256.New()
		for _, arg := range args {
			abs, err := filepath.Abs(arg)
			if err != nil {
				return nil, err
			}

			fmt.Fprintf(h, "%s\x00", abs)
		}

		name = filepath.Join(cache, "backburn", "plan-"+hex.EncodeToString(h.Sum(nil))[:16]+".jsonl")
	}

	m, err := plan.OpenState(name)
	if errors.Is(err, plan.ErrInUse) {
		return nil, cli.Exit(cli.Usage, err)
	}

	return m, err
}

// budgets returns the rest of today's budgets. If the fleet is not reachable, it assumes that
// nothing was used.
func (p *planRun) budgets(ctx context.Context, cfg pipeline.Config) (map[pipeline.Budget]int, error) {
	left := map[pipeline.Budget]int{}
	for b, limit := range map[pipeline.Budget]int{pipeline.Uploads: cfg.UploadsPerDay, pipeline.Queries: cfg.QueriesPerDay} {
		used := 0
		if q := p.service.fleet.queue; q != nil {
			s, err := fleet.BudgetStatusOf(ctx, q.Control(), b, limit, time.Now())
			if err != nil {
				return nil, err
			}
			used = s.Used
		}

		left[b] = max(limit-limit*cfg.ReservePercent/100-used, 0)
	}

	if cfg.QueriesPerDay == 0 {
		left[pipeline.Queries] = -1
	}

	return left, nil
}

// hash finds all files and hashes the new ones.
func (p *planRun) hash(ctx context.Context, args []string) error {
	bars := newProgressBars(p.tool.Err)
	defer bars.end()
	var bytes atomic.Int64
	hashed := bars.count("hashed", 0, decor.Any(func(decor.Statistics) string { return "  " + humanSize(bytes.Load()) }))

	failed := func(path string, err error) {
		p.inventory.Fail()
		hashed.done()
		fmt.Fprintf(bars.messages(), "%s: %s\n", cli.Printable(path), cli.Printable(err.Error()))
	}
	type problem struct {
		path string
		err  error
	}
	var problems []problem // from the search for files, which runs concurrently with hashing

	h := &plan.Hasher{
		State: p.state,
		Types: p.inventory.Config.NeedsTypes(),
		Done: func(f plan.File, _ bool) {
			p.inventory.Add(f)
			bytes.Add(f.Size)
			hashed.done()
		},
		Failed: failed,
	}
	err := h.Run(ctx, func(visit func(string) error) error {
		return walkArgs(ctx, args, func(path string, err error) error {
			hashed.expect(1)
			if err == nil {
				err = p.guard.Path(path)
			}

			if err != nil {
				problems = append(problems, problem{path, err})
				return nil //nolint:nilerr // reported at the end
			}

			abs, err := filepath.Abs(path)
			if err != nil {
				return err
			}

			return visit(abs)
		})
	})
	for _, unreadable := range problems {
		failed(unreadable.path, unreadable.err)
	}

	return err
}

func printPlan(tool *cli.App, r planReport) {
	rows := [][]string{{"WHAT", "HOW MANY", ""}}
	row := func(what string, n int, more string) { rows = append(rows, []string{what, fmt.Sprint(n), more}) }
	row("files", r.Files, humanSize(r.Bytes))
	for _, skipped := range []struct {
		what string
		n    int
	}{
		{"  unreadable", r.Unreadable},
		{"  empty", r.Empty},
		{"  too large", r.TooLarge},
	} {
		if skipped.n > 0 {
			row(skipped.what, skipped.n, "")
		}
	}

	row("distinct contents", r.Distinct, "")
	for _, verdict := range slices.Sorted(maps.Keys(r.Known)) {
		row("  known: "+verdict, r.Known[verdict], "")
	}

	row("  being analyzed", r.Pending, "")
	row("  withheld", r.Withheld, "withheld by the policy")
	row("  not asked about", r.NotAsked, r.Note)
	row("  unknown", r.Unknown, humanSize(r.UnknownBytes))
	row("queries made", r.Queries, fmt.Sprintf("%d contents known without a query", r.KnownHere))
	printPairs(tool.Out, rows)

	var text string
	switch {
	case r.Unknown == 0 && r.NotAsked > 0:
		text = "No upload is known to be needed."
	case r.Unknown == 0:
		text = "There is nothing to upload."
	case r.DoneBy.IsZero():
		text = fmt.Sprintf("%s needed; there is no daily limit.", plural(r.Unknown, "upload"))
	default:
		text = fmt.Sprintf("%s needed: %s at the current budget, done by %s.", plural(r.Unknown, "upload"), plural(r.Days, "day"), r.DoneBy.Format(time.DateOnly))
	}

	if r.NotAsked > 0 {
		text += fmt.Sprintf(" WildFire was not asked about %d contents, which may need uploads.", r.NotAsked)
	}

	fmt.Fprintln(tool.Out, "\n"+text)
	if r.Submitted > 0 {
		fmt.Fprintf(tool.Out, "%s submitted.\n", plural(r.Submitted, "file"))
	}
}
