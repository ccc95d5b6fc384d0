package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/pipeline/queue"
	"backburn/results"
)

func deadCommand(tool *cli.App) *cobra.Command {
	group := cli.Group(&cobra.Command{
		Use:   "dead",
		Short: "List failed jobs, retry them or drop them",
		Long: `A failed job is kept whole, with its reason, as a dead letter. Dead letters stay until they are
replayed or dropped, expire, or exceed a limit ([dead_letters]).

"show", "replay" and "drop" take the number of a letter, as "list" shows it, or the ID of its job. A
number is always that of a letter. For a job whose ID is a number, or is used by several sources,
write SOURCE/JOB.`,
		Example: `  backburn dead list
  backburn dead show 17
  backburn dead replay --reason attempts_exhausted --since 24h
  backburn dead drop --reason unsupported_type --dry-run`,
	})
	simulationFlag(tool, group.PersistentFlags())
	group.AddCommand(deadList(tool), deadShow(tool), deadReplay(tool), deadDrop(tool))

	return group
}

func deadList(tool *cli.App) *cobra.Command {
	var f deadFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters by reason",
		Long: `Lists the newest dead letters, grouped by reason, and counts all of each reason. LETTER is the number
that "show", "replay" and "drop" take.`,
		Example: `  backburn dead list
  backburn dead list --reason too_large --since 7d
  backburn dead list --json --limit 0 | jq -r .job_id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter()
			if err != nil {
				return err
			}

			_, q, release, err := openQueue(cmd.Context(), tool, "dead")
			if err != nil {
				return err
			}
			defer release()
			letters, counts, err := newestLetters(cmd.Context(), q, filter, f.limit)
			if err != nil {
				return err
			}

			if f.asJSON {
				return printJSON(tool.Out, letters...)
			}

			printLetters(tool, letters, counts)

			return nil
		},
	}
	f.bind(cmd, 50, "list only the newest `n`; 0: all")

	return cmd
}

// newestLetters reads the newest letters that match the filter, with the data of their jobs, the
// oldest first. It also counts all matching letters by reason.
func newestLetters(ctx context.Context, q *queue.Queue, filter queue.DeadFilter, limit int) ([]queue.Letter, map[string]uint64, error) {
	var letters []queue.Letter
	counts := map[string]uint64{}
	for l, err := range q.Dead().All(ctx, filter) {
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

		whole, err := q.Dead().Get(ctx, l.Seq)
		if errors.Is(err, queue.ErrNoLetter) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, nil, err
		}

		letters[i] = whole
	}

	return letters, counts, nil
}

func printLetters(tool *cli.App, letters []queue.Letter, counts map[string]uint64) {
	p := stdoutWriter(tool)
	printDead(p, counts)
	byReason := map[results.Reason][]queue.Letter{}
	for _, l := range letters {
		byReason[l.Reason] = append(byReason[l.Reason], l)
	}

	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		fmt.Fprintf(p, "\n%s\n", p.styled(strong, cli.Printable(string(reason))))
		t := newTable(">LETTER", "TIME", "JOB", "~SOURCE", ">SIZE", "~NAME", "=ERROR")
		for _, l := range byReason[reason] {
			t.add(plain,
				strconv.FormatUint(l.Seq, 10),
				formatTime(l.Time),
				cli.Printable(l.Job.ID),
				cli.Printable(l.Job.Source),
				letterSize(l),
				cli.Printable(letterName(l)),
				cli.Printable(clip(l.Error, 80)))
		}

		if isNarrow(p) {
			t.removeColumns("JOB") // the number identifies a letter
		}

		t.print(p)
	}
}
