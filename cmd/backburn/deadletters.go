package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/jets"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// deadFlags are the flags that select letters and choose the output.
type deadFlags struct {
	reason, source string
	since          time.Duration
	limit          int
	all, dryRun    bool // only for commands that replay or drop letters
	asJSON         bool
}

func (f *deadFlags) bind(cmd *cobra.Command, limit int, limitUsage string) {
	flags := cmd.Flags()
	flags.StringVar(&f.reason, "reason", "", "only letters with this `reason`, such as attempts_exhausted")
	flags.StringVar(&f.source, "source", "", "only letters of this `source`")
	flags.Var(durationFlag{&f.since}, "since", "only letters since this time `ago`, such as 24h or 7d")
	flags.IntVar(&f.limit, "limit", limit, limitUsage)
	flags.BoolVar(&f.asJSON, "json", false, "one JSON object per line")
}

// bindSelection is bind for a command that replays or drops letters; verb names the action.
func (f *deadFlags) bindSelection(cmd *cobra.Command, verb string) {
	f.bind(cmd, 0, verb+" only the oldest `n`; 0: all")
	cmd.Flags().BoolVar(&f.all, "all", false, "all letters")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only print what would be done")
}

func (f *deadFlags) filter() (queue.DeadFilter, error) {
	out := queue.DeadFilter{Reason: results.Reason(f.reason), Source: f.source}
	switch {
	case f.reason != "" && !slices.Contains(results.Reasons(), out.Reason):
		return out, cli.Usagef("--reason: expected one of %s, got %q", strings.Join(texts(results.Reasons()), ", "), f.reason)
	case f.source != "" && f.source != "unknown" && !pipeline.ValidSource(f.source):
		return out, cli.Usagef("--source: expected %s, got %q", pipeline.SourceRule, f.source)
	case f.limit < 0:
		return out, cli.Usagef("--limit: expected at least 0, got %d", f.limit)
	case f.since > 0:
		out.Since = time.Now().Add(-f.since)
	}

	return out, nil
}

func letterName(l queue.Letter) string {
	return cmp.Or(l.Job.URL, l.Job.Path, l.Job.Filename, "-")
}

func letterSize(l queue.Letter) string {
	if l.Job.Kind == pipeline.KindURL || l.Job.Size == 0 {
		return "-"
	}
	return humanSize(l.Job.Size)
}

// selection has the letters that a command replays or drops, the oldest first. The caller calls
// release.
type selection struct {
	cfg     config.Config
	queue   *queue.Queue
	release func()
	letters []uint64
}

// selectFrom attaches to the queue and finds the letters that the arguments or the flags name.
// First it rejects a command line that uses both or neither.
func (f *deadFlags) selectFrom(ctx context.Context, tool *cli.App, args []string) (selection, error) {
	filter, err := f.filter()
	isFiltered := f.reason != "" || f.source != "" || f.since > 0
	switch {
	case err != nil:
		return selection{}, err
	case len(args) == 0 && !isFiltered && !f.all:
		return selection{}, cli.Usagef("name letters or jobs, or select them with --reason, --source, --since or --all")
	case len(args) > 0 && (isFiltered || f.all || f.limit > 0):
		return selection{}, cli.Usagef("either name letters or jobs, or select them with --all, --reason, --source, --since and --limit")
	}

	var c selection
	if c.cfg, c.queue, c.release, err = openQueue(ctx, tool, "dead"); err != nil {
		return c, err
	}

	if len(args) > 0 {
		c.letters, err = findLetters(ctx, c.queue, args)
	} else {
		c.letters, err = selectLetters(ctx, c.queue, filter, f.limit)
	}

	if err != nil {
		c.release()
	}

	return c, err
}

// selectLetters finds the letters that match a filter, at most limit; 0 means all.
func selectLetters(ctx context.Context, q *queue.Queue, filter queue.DeadFilter, limit int) ([]uint64, error) {
	var seqs []uint64
	for l, err := range q.Dead().All(ctx, filter) {
		if err != nil {
			return nil, err
		}
		if seqs = append(seqs, l.Seq); limit > 0 && len(seqs) == limit {
			break
		}
	}

	return seqs, nil
}

// findLetters finds the letters that arguments name, by number or by their job.
func findLetters(ctx context.Context, q *queue.Queue, args []string) ([]uint64, error) {
	var seqs []uint64
	var jobs []string
	for _, a := range args {
		if a == "" { // such as an unset variable; letters of invalid messages have no job ID
			return nil, cli.Usagef("expected the number of a letter or the ID of a job, got %q", a)
		}
		if n, err := strconv.ParseUint(a, 10, 64); err == nil && n > 0 {
			seqs = append(seqs, n)
		} else {
			jobs = append(jobs, a)
		}
	}

	if len(jobs) > 0 {
		letters, err := lettersOfJobs(q.Dead().All(ctx, queue.DeadFilter{}), jobs)
		if err != nil {
			return nil, err
		}

		seqs = append(seqs, letters...)
	}

	slices.Sort(seqs)

	return slices.Compact(seqs), nil
}

// lettersOfJobs finds one letter for each job, which is given as its ID or as "source/id".
func lettersOfJobs(all iter.Seq2[queue.Letter, error], jobs []string) ([]uint64, error) {
	found := map[string][]queue.Letter{}
	for _, job := range jobs {
		found[job] = nil
	}

	for l, err := range all {
		if err != nil {
			return nil, err
		}
		if l.Job.ID == "" {
			continue
		}

		for _, name := range []string{l.Job.ID, l.Job.Ref().String()} {
			if letters, wanted := found[name]; wanted {
				found[name] = append(letters, l)
			}
		}
	}

	var seqs []uint64
	for _, job := range jobs {
		switch letters := found[job]; len(letters) {
		case 0:
			return nil, fmt.Errorf("%w of job %s; `backburn dead list` shows the existing letters", queue.ErrNoLetter, job)
		case 1:
			seqs = append(seqs, letters[0].Seq)
		default:
			var names []string
			for _, l := range letters {
				names = append(names, fmt.Sprintf("%d (%s)", l.Seq, l.Job.Ref()))
			}

			return nil, cli.Usagef("job %s has several letters; give the number of one: %s", job, strings.Join(names, ", "))
		}
	}

	return seqs, nil
}

// letterResult is the result for one letter, printed as a line of JSON.
type letterResult struct {
	Seq    uint64 `json:"seq"`
	Done   string `json:"done,omitempty"` // replayed or dropped
	DryRun bool   `json:"dry_run,omitempty"`
	Job    string `json:"job_id,omitempty"` // ID of the new job
	Error  string `json:"error,omitempty"`
}

// forEach calls do for every letter and prints the result. It continues after an error with a
// single letter, and stops after an error that concerns all of them.
func (f *deadFlags) forEach(tool *cli.App, seqs []uint64, verb string, do func(seq uint64) (job string, err error)) error {
	failed := 0
	for _, seq := range seqs {
		job, err := do(seq)
		o := letterResult{Seq: seq, Done: verb, DryRun: f.dryRun, Job: job}
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, pipeline.ErrFull):
			return err
		case jets.Is(err, jets.Unavailable):
			return cli.Exit(cli.Unreachable, fmt.Errorf("letter %d: %w", seq, err))
		case err != nil:
			failed++
			o.Done = ""
			o.Job = ""
			o.Error = err.Error()
		}

		if f.asJSON {
			if err := printJSON(tool.Out, o); err != nil {
				return err
			}

			continue
		}

		would := ""
		if f.dryRun {
			would = "would be "
		}

		var werr error
		switch {
		case err != nil:
			fmt.Fprintf(tool.Err, "letter %d: %s\n", seq, cli.Printable(err.Error()))
		case job != "":
			_, werr = fmt.Fprintf(tool.Out, "letter %d: %s%s as job %s\n", seq, would, verb, cli.Printable(job))
		default:
			_, werr = fmt.Fprintf(tool.Out, "letter %d: %s%s\n", seq, would, verb)
		}

		if werr != nil {
			return werr
		}
	}

	if failed > 0 {
		return cli.Exit(cli.Partial, fmt.Errorf("%d of %s could not be %s", failed, plural(len(seqs), "letter"), verb))
	}
	if len(seqs) == 0 {
		fmt.Fprintln(tool.Err, "There are no such letters.")
	}

	return nil
}
