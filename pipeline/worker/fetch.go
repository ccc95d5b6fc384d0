package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/backoff"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

const (
	// How often a worker looks for new feeds. A feed is a consumer of one lane (queue.Feed).
	feedScanInterval = 500 * time.Millisecond

	// How long a worker goes on requesting jobs from a feed after the feed's last job.
	feedIdleTimeout = 10 * time.Minute

	// fetchWait is how long one request for jobs stays open. A stop waits that long for the
	// fetchers, or a second longer if the server does not answer.
	fetchWait = time.Second
)

// fetchAll fetches jobs from every lane until ctx ends, with one fetcher for each feed. It looks
// for feeds with jobs every feedScanInterval. When fetchAll returns, all its fetchers have ended;
// the jobs that they started may go on.
func (w *Worker) fetchAll(ctx, work context.Context) {
	windows := map[pipeline.Priority]*window{}
	for _, p := range pipeline.Priorities() {
		windows[p] = newWindow(windowSize)
	}

	var running sync.WaitGroup
	defer running.Wait()

	var fetched sync.Map // names of the feeds that have a fetcher
	for faults := 0; ctx.Err() == nil; {
		feeds, err := w.Queue.Lanes().Feeds(ctx)
		for _, feed := range feeds {
			if _, has := fetched.LoadOrStore(feed.Name, true); has {
				continue
			}
			f := &fetcher{w: w, feed: feed, window: windows[feed.Priority]}
			running.Go(func() {
				defer fetched.Delete(feed.Name)
				f.run(ctx, work)
			})
		}

		if err != nil {
			faults = waitAfterFault(ctx, w.Log, err, faults)
			continue
		}
		faults = 0
		_ = pipeline.Sleep(ctx, feedScanInterval)
	}
}

// fetcher fetches the jobs of one feed.
type fetcher struct {
	w             *Worker
	feed          queue.Feed
	window        *window
	largestPlaces int // places that the largest job of the last nonempty fetch took; 0 before the first
}

// After a fetch that returned jobs, the next one requests twice as many, but at least minFetch, as
// far as the window has places for them.
const minFetch = 8

// run fetches until ctx ends, a request for jobs fails, or no job has arrived for feedIdleTimeout.
// If the feed has jobs later, fetchAll starts a new fetcher, and creates the feed's consumer again
// if it was lost. While the feed is empty, run reserves no window places and requests one job. Once
// that job has arrived, run reserves places before it requests more jobs.
func (f *fetcher) run(ctx, work context.Context) {
	log := f.w.Log.With().Str("feed", f.feed.Name).Logger()
	wanted := 0 // jobs to request next; 0: wait for one
	for lastJob := time.Now(); ctx.Err() == nil && time.Since(lastJob) < feedIdleTimeout; {
		if pause := f.w.examiner.sources.pause(f.feed.Source); pause > 0 {
			_ = pipeline.Sleep(ctx, min(pause, time.Second))
			continue
		}

		n := 0
		if wanted > 0 {
			if n = f.window.reserve(ctx, f.feed.Name, wanted*f.largestPlaces); n == 0 {
				return
			}
		}

		taken, err := f.fetch(ctx, work, n)
		if err != nil && ctx.Err() == nil {
			f.w.Queue.Lanes().Forget(f.feed) // the consumer may be lost with its server: Feeds must create it again
			waitAfterFault(ctx, log, err, 0)
			return
		}

		wanted = 0
		if taken > 0 {
			wanted = min(max(2*taken, minFetch), windowSize)
			lastJob = time.Now()
		}
	}
}

// fetch gets the queued jobs that fit into n window places, or waits for one job if n is 0. It
// starts to process each job as it arrives, and returns the number of jobs.
func (f *fetcher) fetch(ctx, work context.Context, n int) (int, error) {
	var batch jetstream.MessageBatch
	var err error
	if n > 0 {
		batch, err = f.feed.Consumer.FetchNoWait(max(n/f.largestPlaces, 1))
	} else {
		batch, err = f.feed.Consumer.Fetch(1, jetstream.FetchMaxWait(fetchWait))
	}
	if err != nil {
		f.window.release(f.feed.Name, n)
		return 0, fmt.Errorf("fetch jobs: %w", err)
	}

	taken := 0
	largest := 1
	left := n
	for msg := range batch.Messages() {
		taken++
		places := placesFor(msg)
		largest = max(largest, places)
		left -= places
		if left < 0 {
			f.window.forceReserve(f.feed.Name, -left)
			left = 0
		}

		d := f.w.accept(msg) // accepted here and not in the goroutine, so that the lease is extended from now on
		f.w.jobs.Go(func() {
			defer f.window.release(f.feed.Name, places)
			f.w.process(ctx, work, d)
		})
	}

	f.window.release(f.feed.Name, left)
	if taken > 0 {
		f.largestPlaces = largest
	}

	return taken, batch.Error()
}

// waitAfterFault waits after a fault, and logs the first of several in a row. It returns how many
// there have been.
func waitAfterFault(ctx context.Context, log zerolog.Logger, err error, faults int) int {
	if faults == 0 && ctx.Err() == nil {
		log.Warn().Err(err).Msg("cannot fetch jobs; retrying")
	}
	_ = pipeline.Sleep(ctx, backoff.Delay(faults, 100*time.Millisecond, 5*time.Second))

	return faults + 1
}
