package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// queueOf names one queue of a lane: that of one source. Each has a durable consumer of its
// own, so that a source which floods a lane has only itself to wait for.
type queueOf struct {
	lane   Priority
	source string // as in the subject, even where it can't be a source
}

// consumerName is the durable consumer of a queue.
func (l queueOf) consumerName() string {
	source := l.source
	if !ValidSource(source) { // any token of a subject: what is in it will end in DEAD
		sum := sha256.Sum256([]byte(source))
		source = "=" + hex.EncodeToString(sum[:16]) // no valid source has one
	}
	return lanePrefix(l.lane) + source
}

func lanePrefix(p Priority) string { return "lane-" + string(p) + "-" }

// consumerConfig is the durable pull consumer of a queue, shared by all workers. It has no
// delivery limit and no back-off list: attempts are counted in the sample's record. The
// server forgets it when nobody has asked for long; jobs don't go with it.
func (q *Queue) consumerConfig(l queueOf) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:           l.consumerName(),
		FilterSubject:     q.JobSubject(l.lane, l.source),
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           q.topology.Lease,
		MaxDeliver:        -1,
		MaxAckPending:     laneMaxAckPending,
		InactiveThreshold: consumerMemory,
	}
}

const (
	// Jobs of one queue in the hands of all workers together, and in back-off.
	laneMaxAckPending = 10_000

	// How often workers look for queues that are new.
	lookForQueues = 500 * time.Millisecond

	// A queue is asked for jobs for so long after there was one in it.
	queueMemory    = 10 * time.Minute
	consumerMemory = 6 * queueMemory
)

// consumer makes or finds the consumer of a queue.
func (q *Queue) consumer(ctx context.Context, l queueOf) (jetstream.Consumer, error) {
	if l.source == "*" || l.source == ">" { // it would be the consumer of all sources
		return nil, fmt.Errorf("jobs were published on %s, which is a pattern and no subject: purge it", q.JobSubject(l.lane, l.source))
	}
	c, err := q.jobs.CreateOrUpdateConsumer(ctx, q.consumerConfig(l))
	if err != nil {
		return nil, fmt.Errorf("consumer of %s jobs of %s: %w", l.lane, l.source, err)
	}
	return c, nil
}

// queues lists the queues that hold jobs now.
func (q *Queue) queues(ctx context.Context) ([]queueOf, error) {
	info, err := q.jobs.Info(ctx, jetstream.WithSubjectFilter(q.prefix+".jobs.>"))
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", q.JobsStream(), err)
	}
	out := make([]queueOf, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		lane, source, _ := strings.Cut(strings.TrimPrefix(subject, q.prefix+".jobs."), ".")
		if Priority(lane).Valid() {
			out = append(out, queueOf{Priority(lane), source})
		}
	}
	return out, nil
}

// intake takes jobs from every queue until ctx ends. A queue is found by its first job, at the
// latest after lookForQueues.
func (w *Worker) intake(ctx, work context.Context) {
	rooms := map[Priority]*room{}
	for _, p := range Priorities() {
		rooms[p] = newRoom(handPerLane)
	}
	var takers sync.WaitGroup
	defer takers.Wait()
	var mu sync.Mutex
	served := map[queueOf]*taker{}
	for fault := 0; ctx.Err() == nil; {
		queues, err := w.q.queues(ctx)
		if err != nil {
			fault = laneFault(ctx, w.log, err, fault)
			continue
		}
		fault = 0
		mu.Lock()
		for _, l := range queues {
			if t := served[l]; t != nil {
				t.seen = time.Now()
				continue
			}
			t := &taker{w: w, queue: l, room: rooms[l.lane], seen: time.Now()}
			served[l] = t
			takers.Go(func() {
				t.run(ctx, work, func() bool {
					mu.Lock()
					defer mu.Unlock()
					over := time.Since(t.seen) > queueMemory
					if over {
						delete(served, l)
					}
					return over
				})
			})
		}
		mu.Unlock()
		_ = sleep(ctx, lookForQueues)
	}
}

// taker takes the jobs of one queue.
type taker struct {
	w     *Worker
	queue queueOf
	room  *room
	large int       // places that the largest job of the last fetch took; 0 before the first
	seen  time.Time // when there was last something in it; guarded by the intake's lock
}

// A queue that has more than was asked for is asked for more.
const firstFetch = 8

// run fetches until ctx ends, or over says that the queue has been empty for long. While there is
// nothing in it, it keeps no room: one job is asked for beyond what the hand holds, and for others
// there has to be room first.
func (t *taker) run(ctx, work context.Context, over func() bool) {
	log := t.w.log.With().Str("lane", string(t.queue.lane)).Str("source", t.queue.source).Logger()
	var consumer jetstream.Consumer
	most := 0
	for fault := 0; ctx.Err() == nil && !over(); {
		if consumer == nil {
			c, err := t.w.q.consumer(ctx, t.queue)
			if err != nil {
				fault = laneFault(ctx, log, err, fault)
				continue
			}
			consumer = c
		}
		n := 0
		if most > 0 {
			if n = t.room.reserve(ctx, t.queue.source, most*t.large); n == 0 {
				return
			}
		}
		taken, err := t.fetch(ctx, work, consumer, n)
		if err != nil && ctx.Err() == nil {
			consumer = nil // it may have been lost with its server
			fault = laneFault(ctx, log, err, fault)
			continue
		}
		if most = 0; taken > 0 {
			most = min(max(2*taken, firstFetch), handPerLane)
		}
		if fault > 0 {
			log.Info().Msg("jobs can be fetched again")
			fault = 0
		}
	}
}

// laneFault waits after a fetch that failed, and tells the first one of a row.
func laneFault(ctx context.Context, log zerolog.Logger, err error, fault int) int {
	if fault == 0 && ctx.Err() == nil {
		log.Warn().Err(err).Msg("jobs can't be fetched; will try again")
	}
	_ = sleep(ctx, backOff(fault, 100*time.Millisecond, 5*time.Second))
	return fault + 1
}

// fetchWait is how long one request for jobs stays open, and so the longest that a stop
// waits for the intake.
const fetchWait = time.Second

// fetch takes the jobs that are there and fit into n places, or where n is 0 waits for one. It
// starts on each as it arrives, and returns how many came.
func (t *taker) fetch(ctx, work context.Context, c jetstream.Consumer, n int) (int, error) {
	var batch jetstream.MessageBatch
	var err error
	if n > 0 {
		batch, err = c.FetchNoWait(max(n/t.large, 1))
	} else {
		batch, err = c.Fetch(1, jetstream.FetchMaxWait(fetchWait))
	}
	if err != nil {
		t.room.release(t.queue.source, n)
		return 0, fmt.Errorf("fetch jobs: %w", err)
	}
	taken, largest, left := 0, 1, n
	for msg := range batch.Messages() {
		taken++
		places := placesOf(msg)
		largest, left = max(largest, places), left-places
		if left < 0 {
			t.room.exceed(t.queue.source, -left)
			left = 0
		}
		d := t.w.accept(msg)
		t.w.jobs.Add(1)
		go func() {
			defer func() { t.w.jobs.Done(); t.room.release(t.queue.source, places) }()
			t.w.bring(ctx, work, d)
		}()
	}
	t.room.release(t.queue.source, left)
	if taken > 0 {
		t.large = largest
	}
	return taken, batch.Error()
}
