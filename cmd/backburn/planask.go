package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"backburn/internal/plan"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire"
)

// maxConcurrentLookups is how many ledger records are read at a time.
const maxConcurrentLookups = 64

// useStoredVerdicts uses the verdicts that the fleet has, and the answers of earlier runs.
func (p *planRun) useStoredVerdicts(ctx context.Context, cfg pipeline.Config) error {
	now := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentLookups)
	for _, c := range p.inventory.Contents() {
		if a, ok := p.state.Answer(c.File.SHA256); ok && isFresh(a, cfg, now) {
			c.Answer = &a
			if a.Verdict.Final() {
				continue
			}
		}

		if p.service.fleet.queue == nil {
			continue
		}

		g.Go(func() error {
			s, err := p.service.fleet.queue.Ledger().Sample(gctx, c.File.SHA256)
			if err != nil || s.State != pipeline.StateVerdict {
				return err
			}

			a := plan.Answer{Verdict: wildfire.Verdict(s.Verdict), At: s.CheckedAt}
			if isFresh(a, cfg, now) {
				c.Answer = &a
				c.FromFleet = true
			}

			return nil
		})
	}

	return g.Wait()
}

// unknownAge is how long the answer "unknown" is reused. Others submit files to WildFire too.
const unknownAge = 24 * time.Hour

// isFresh reports whether an answer is recent enough to be reused.
func isFresh(a plan.Answer, cfg pipeline.Config, now time.Time) bool {
	if !a.Verdict.Final() {
		return now.Sub(a.At) < unknownAge
	}

	return now.Sub(a.At) <= cfg.ReuseDuration(a.Verdict)
}

// ask asks WildFire about every hash that the policy allows, within the number of queries. The note
// says why it ended early.
func (p *planRun) ask(ctx context.Context) (note string, err error) {
	maxQueries := p.queries
	if maxQueries < 0 {
		maxQueries = p.remainingBudgets[pipeline.Queries]
	}

	list := p.inventory.ToAsk()
	for len(list) > 0 {
		if maxQueries >= 0 && p.queriesMade >= maxQueries {
			return fmt.Sprintf("the limit of %d queries is reached (--queries, wildfire.queries_per_day)", maxQueries), nil
		}

		batch := list[:min(len(list), wildfire.MaxHashes)]
		list = list[len(batch):]
		if err := p.askBatch(ctx, batch); err != nil {
			if errors.Is(err, wildfire.ErrQuota) {
				return "WildFire says that the day's queries are used up", nil
			}

			return "", withExitCode(err)
		}
	}

	return "", nil
}

// askBatch makes one query.
func (p *planRun) askBatch(ctx context.Context, batch []*plan.Contents) error {
	hashes := make([]string, len(batch))
	for i, c := range batch {
		hashes[i] = c.File.SHA256
	}

	records, err := p.service.Verdicts(ctx, hashes)
	if err != nil {
		return err
	}

	p.queriesMade++
	p.service.chargeQueries(ctx, 1)

	verdictByHash := map[string]wildfire.Verdict{}
	for _, r := range records {
		if verdictByHash[r.SHA256] = wildfire.Pending; r.HasVerdict {
			verdictByHash[r.SHA256] = r.Verdict
		}
	}

	for _, c := range batch {
		a := plan.Answer{Verdict: wildfire.Unknown, At: time.Now().UTC()}
		if v, ok := verdictByHash[c.File.SHA256]; ok {
			a.Verdict = v
		}

		c.Answer = &a
		if err := p.state.Answered(c.File.SHA256, a); err != nil {
			return err
		}
	}

	return nil
}

// submit submits files that WildFire does not know, up to the limit for one day. Job IDs are
// derived from the contents, so a repeat has no effect.
func (p *planRun) submit(ctx context.Context) (int, error) {
	remaining := -1
	if p.perDay > 0 {
		remaining = max(p.perDay-p.state.SubmittedOn(time.Now()), 0)
	}

	n := 0
	for _, c := range p.inventory.ToUpload() {
		if n == remaining {
			break
		}
		if p.state.Submitted(c.File.SHA256) {
			continue
		}
		if err := p.submitOne(ctx, c); err != nil {
			return n, fmt.Errorf("submit %s: %w", c.File.Path, err)
		}
		if err := p.state.MarkSubmitted(c.File.SHA256, time.Now()); err != nil {
			return n, err
		}

		n++
	}

	return n, nil
}

func (p *planRun) submitOne(ctx context.Context, c *plan.Contents) error {
	j := p.inventory.Job(c.File)
	j.Priority = p.submitAs
	open := func() (io.ReadCloser, error) { return os.Open(c.File.Path) }

	return repeatWhileFull(ctx, time.Time{}, p.tool.Err, func() error {
		_, err := p.service.fleet.queue.Publisher().Guarded(p.guard).Submit(ctx, j, queue.FromFile(c.File.Size, open))
		return err
	})
}
