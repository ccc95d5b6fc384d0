package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/pipeline/fleet"
	"backburn/pipeline/poller"
	"backburn/pipeline/queue"
	"backburn/wildfire"
)

// recheckTimeout is how long the fleet may take to answer about one hash or link. Usually it takes
// a second or two.
const recheckTimeout = time.Minute

func recheckCommand(tool *cli.App) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "recheck SHA256…|URL…",
		Short: "Have the fleet ask WildFire again",
		Long: `Has the fleet's workers ask WildFire again about contents or links, whatever is known about them.
A changed verdict is recorded, and published as a changed event for every job that got the old
one. Jobs that wait for the verdict get it. Each hash or link costs at most one of the day's
queries, from the reserve if necessary, and has audit events ("backburn results --type audit").

"backburn verdict" also asks WildFire, but from this machine, and changes nothing.

Exit codes: 1 something is malicious, 3 some have no verdict, an unrecognised one, or no answer.`,
		Example: `  backburn recheck 275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f
  backburn recheck https://example.com/login`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, a := range args {
				if !sha256Pattern.MatchString(a) && !isValidURL(a) {
					return cli.Usagef("expected a SHA-256 or a link with http:// or https://, got %q", a)
				}
			}

			cfg, q, release, err := openQueue(cmd.Context(), tool, "recheck")
			if err != nil {
				return err
			}
			defer release()

			answers, err := recheckAll(cmd.Context(), q, args, cfg.Pipeline.Lease)
			if perr := printAnswers(tool, answers, asJSON); err == nil {
				err = perr
			}
			if err != nil {
				return err
			}

			return verdictExitError(answers)
		},
	}
	simulationFlag(tool, cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object per line")

	return cmd
}

// recheckAll asks about each argument in turn. With an error, it also returns the answers so far.
func recheckAll(ctx context.Context, q *queue.Queue, args []string, lease time.Duration) (answers []verdictAnswer, err error) {
	pauses := fleet.NewPauses(q.Control(), time.Now, time.Second)
	client := poller.NewClient(q, pauses, nil, lease)
	operator := operatorOf(q)
	operator.Ask = client.Ask

	running, stop := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error { return pauses.Run(running) })
	g.Go(func() error { return client.Run(running) })
	defer func() {
		stop()
		err = errors.Join(err, g.Wait())
	}()

	for _, arg := range args {
		r := wildfire.VerdictRecord{SHA256: strings.ToLower(arg)}
		if isURL(arg) {
			r = wildfire.VerdictRecord{URL: arg}
		}
		if err := recheckOne(ctx, operator, &r); err != nil {
			return answers, err
		}

		answers = append(answers, newVerdictAnswer(r))
	}

	return answers, nil
}

// recheckOne asks about one hash or link and fills in its verdict.
func recheckOne(ctx context.Context, operator app.Operator, r *wildfire.VerdictRecord) (err error) {
	ctx, cancel := context.WithTimeout(ctx, recheckTimeout)
	defer cancel()
	r.Verdict, err = operator.Recheck(ctx, r.SHA256, r.URL)
	r.HasVerdict = r.Verdict != wildfire.Unknown
	if errors.Is(err, poller.ErrQueriesPaused) || errors.Is(err, app.ErrNoAnswer) {
		return cli.Exit(cli.Partial, err)
	}

	return err
}
