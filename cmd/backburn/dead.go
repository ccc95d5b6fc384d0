package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

func deadCommand(tool *cli.App) *cobra.Command {
	group := cli.Group(&cobra.Command{
		Use:   "dead",
		Short: "Look at what failed, try it again, or give it up",
		Long: `Every job that fails ends as a dead letter: whole, with the reason. Letters stay until they
are replayed or dropped.`,
		Example: `  backburn dead list
  backburn dead show 17
  backburn dead replay --reason attempts_exhausted --since 24h
  backburn dead drop --reason unsupported_type --dry-run`,
	})
	group.AddCommand(deadList(tool), deadShow(tool), deadReplay(tool), deadDrop(tool))
	return group
}

// deadFlags say which letters are meant, and what of it is shown.
type deadFlags struct {
	reason, source string
	since          time.Duration
	limit          int
	all, dryRun    bool // of the commands that do something to letters
	asJSON         bool
}

func (f *deadFlags) bind(cmd *cobra.Command, limit int, what string) {
	flags := cmd.Flags()
	flags.StringVar(&f.reason, "reason", "", "only letters with this `reason`, such as attempts_exhausted")
	flags.StringVar(&f.source, "source", "", "only letters of this `source`")
	flags.DurationVar(&f.since, "since", 0, "only letters of so long `ago`, such as 24h")
	flags.IntVar(&f.limit, "limit", limit, what)
	flags.BoolVar(&f.asJSON, "json", false, "one JSON object a line")
}

// bindChoice is bind for a command that does something to the letters: verb is what.
func (f *deadFlags) bindChoice(cmd *cobra.Command, verb string) {
	f.bind(cmd, 0, verb+" at most `n`, the oldest; 0: all")
	cmd.Flags().BoolVar(&f.all, "all", false, "every letter there is")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only tell what would be done")
}

func (f *deadFlags) filter() (queue.DeadFilter, error) {
	out := queue.DeadFilter{Reason: results.Reason(f.reason), Source: f.source}
	switch {
	case f.reason != "" && !slices.Contains(results.Reasons(), out.Reason):
		var all []string
		for _, r := range results.Reasons() {
			all = append(all, string(r))
		}
		return out, cli.Usagef("--reason: expected one of %s, got %q", strings.Join(all, ", "), f.reason)
	case f.source != "" && f.source != "unknown" && !pipeline.ValidSource(f.source):
		return out, cli.Usagef("--source: expected 1 to 32 of a-z, 0-9, _ and -, got %q", f.source)
	case f.limit < 0:
		return out, cli.Usagef("--limit: not negative, got %d", f.limit)
	case f.since < 0:
		return out, cli.Usagef("--since: not negative, got %s", f.since)
	case f.since > 0:
		out.Since = time.Now().Add(-f.since)
	}
	return out, nil
}

// openDead attaches to the queue for a command about letters.
func openDead(ctx context.Context, tool *cli.App) (config.Config, *queue.Queue, func(), error) {
	cfg, err := tool.Config()
	if err != nil {
		return cfg, nil, nil, err
	}
	q, release, err := attach(ctx, tool, cfg, "dead")
	return cfg, q, release, err
}

func deadList(tool *cli.App) *cobra.Command {
	var f deadFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters by reason",
		Long: `Lists the newest letters, grouped by reason, and says how many there are of each. The first
column is the number by which "show", "replay" and "drop" know a letter.`,
		Example: `  backburn dead list
  backburn dead list --reason too_large --since 168h
  backburn dead list --json --limit 0 | jq -r .job_id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter()
			if err != nil {
				return err
			}
			_, q, release, err := openDead(cmd.Context(), tool)
			if err != nil {
				return err
			}
			defer release()
			letters, counts, err := newest(cmd.Context(), q, filter, f.limit)
			if err != nil {
				return err
			}
			if f.asJSON {
				for _, l := range letters {
					if err := printJSON(tool.Out, l); err != nil {
						return err
					}
				}
				return nil
			}
			printLetters(tool, letters, counts)
			return nil
		},
	}
	f.bind(cmd, 50, "list at most `n`, the newest; 0: all")
	return cmd
}

// newest reads the newest letters of a filter, with what their jobs say, the oldest of
// them first, and counts all by reason.
func newest(ctx context.Context, q *queue.Queue, filter queue.DeadFilter, limit int) ([]queue.Letter, map[string]uint64, error) {
	var letters []queue.Letter
	counts := map[string]uint64{}
	for l, err := range q.DeadLetters(ctx, filter) {
		if err != nil {
			return nil, nil, err
		}
		counts[string(l.Reason)]++
		if letters = append(letters, l); limit > 0 && len(letters) >= 2*limit {
			letters = append(letters[:0], letters[len(letters)-limit:]...)
		}
	}
	if limit > 0 && len(letters) > limit {
		letters = letters[len(letters)-limit:]
	}
	for i, l := range letters {
		if l.Raw {
			continue
		}
		whole, err := q.DeadLetter(ctx, l.Seq)
		if errors.Is(err, queue.ErrNoLetter) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, nil, err
		}
		letters[i] = whole
	}
	return letters, counts, nil
}

func printLetters(tool *cli.App, letters []queue.Letter, counts map[string]uint64) {
	printDead(tool.Out, counts)
	byReason := map[results.Reason][]queue.Letter{}
	var order []results.Reason
	for _, l := range letters {
		if byReason[l.Reason] == nil {
			order = append(order, l.Reason)
		}
		byReason[l.Reason] = append(byReason[l.Reason], l)
	}
	slices.Sort(order)
	for _, reason := range order {
		fmt.Fprintf(tool.Out, "\n%s\n", printable(string(reason)))
		rows := [][]string{{"LETTER", "TIME", "JOB", "SOURCE", "SIZE", "NAME", "ERROR"}}
		for _, l := range byReason[reason] {
			rows = append(rows, []string{
				strconv.FormatUint(l.Seq, 10), clock(l.Time), printable(l.Job.ID), l.Job.Source, letterSize(l), printable(letterName(l)), printable(clip(l.Error, 80)),
			})
		}
		printTable(tool.Out, rows)
	}
}

func letterName(l queue.Letter) string {
	for _, name := range []string{l.Job.URL, l.Job.Path, l.Job.Filename} {
		if name != "" {
			return name
		}
	}
	return "-"
}

func letterSize(l queue.Letter) string {
	if l.Job.Kind == pipeline.KindURL || l.Job.Size == 0 {
		return "-"
	}
	return humanSize(l.Job.Size)
}

// clip is the beginning of a text.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// choice is what a command does something to: letters, the oldest first, of a queue. The caller
// calls release.
type choice struct {
	cfg     config.Config
	queue   *queue.Queue
	release func()
	letters []uint64
}

// choose attaches to the queue and finds the letters that arguments, or else the flags, name. A
// command line that names none, or names them twice, is refused before.
func (f *deadFlags) choose(ctx context.Context, tool *cli.App, args []string) (choice, error) {
	filter, err := f.filter()
	narrowed := f.reason != "" || f.source != "" || f.since > 0
	switch {
	case err != nil:
		return choice{}, err
	case len(args) == 0 && !narrowed && !f.all:
		return choice{}, cli.Usagef("name letters or jobs, or say which with --reason, --source or --since, or --all")
	case len(args) > 0 && (narrowed || f.all || f.limit > 0):
		return choice{}, cli.Usagef("either name letters or jobs, or say which with --all, --reason, --source, --since and --limit")
	}
	var c choice
	if c.cfg, c.queue, c.release, err = openDead(ctx, tool); err != nil {
		return c, err
	}
	if len(args) > 0 {
		c.letters, err = letterArgs(ctx, c.queue, args)
	} else {
		c.letters, err = lettersOf(ctx, c.queue, filter, f.limit)
	}
	if err != nil {
		c.release()
	}
	return c, err
}

// lettersOf finds the letters of a filter, at most limit of them; 0 means all.
func lettersOf(ctx context.Context, q *queue.Queue, filter queue.DeadFilter, limit int) ([]uint64, error) {
	var seqs []uint64
	for l, err := range q.DeadLetters(ctx, filter) {
		if err != nil {
			return nil, err
		}
		if seqs = append(seqs, l.Seq); limit > 0 && len(seqs) == limit {
			break
		}
	}
	return seqs, nil
}

// letterArgs finds the letters that arguments name, by number or by the id of their job.
func letterArgs(ctx context.Context, q *queue.Queue, args []string) ([]uint64, error) {
	var seqs []uint64
	wanted := map[string]bool{}
	for _, a := range args {
		if n, err := strconv.ParseUint(a, 10, 64); err == nil && n > 0 {
			seqs = append(seqs, n)
		} else {
			wanted[a] = true
		}
	}
	if len(wanted) > 0 {
		for l, err := range q.DeadLetters(ctx, queue.DeadFilter{}) {
			if err != nil {
				return nil, err
			}
			if wanted[l.Job.ID] {
				seqs = append(seqs, l.Seq)
				delete(wanted, l.Job.ID)
			}
		}
		for id := range wanted {
			return nil, fmt.Errorf("%w of job %s; `backburn dead list` shows those that are there", queue.ErrNoLetter, id)
		}
	}
	slices.Sort(seqs)
	return slices.Compact(seqs), nil
}
