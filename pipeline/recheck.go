package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
	"backburn/wildfire"
)

// rechecks are verdicts that WildFire may still change its mind about: harmless ones, some
// time after they were given. They ride in calls that have room, and are asked about by
// themselves only while budget is plentiful. In the order in which they are due.
type rechecks struct {
	after time.Duration // from the verdict to the second question; 0: never
	queue []recheck
}

type recheck struct {
	key string
	due time.Time
}

// maxRechecks bounds what is remembered. Beyond it verdicts are simply not asked about again.
const maxRechecks = 200_000

// noted takes up a verdict that was just given, or is read back.
func (r *rechecks) noted(key string, s sample) {
	if r.after == 0 || s.State != stateVerdict || isLink(key) || wildfire.Verdict(s.Verdict).Malicious() || len(r.queue) >= maxRechecks {
		return
	}
	r.queue = append(r.queue, recheck{key, s.CheckedAt.Add(r.after)})
}

// take returns up to n that are due.
func (r *rechecks) take(now time.Time, n int) []string {
	var keys []string
	for len(keys) < n && len(r.queue) > 0 && !r.queue[0].due.After(now) {
		keys = append(keys, r.queue[0].key)
		r.queue = r.queue[1:]
	}
	return keys
}

// patience is how long a due one waits for a call with room before it is worth one of its own.
func (r *rechecks) patience() time.Duration { return r.after / 24 }

// overdue reports whether they are worth a call of their own.
func (r *rechecks) overdue(now time.Time) bool { return r.next(now) <= 0 }

// next is how long until they are; an hour at most.
func (r *rechecks) next(now time.Time) time.Duration {
	if len(r.queue) == 0 {
		return time.Hour
	}
	return min(r.queue[0].due.Add(r.patience()).Sub(now), time.Hour)
}

// follow reads what is written to the samples, from shortly before now on, so that verdicts
// that are due for a second question are known to every new batcher.
func (b *batcher) follow(ctx context.Context) (jetstream.ConsumeContext, error) {
	stream, err := b.q.js.Stream(ctx, "KV_"+b.q.SamplesBucket())
	if err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}
	if b.rechecks.after > 0 {
		from := b.now().Add(-b.rechecks.after)
		cfg = jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from}
	}
	c, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	return c.Consume(b.sampleWritten, newsExpiry, newsHeartbeat)
}

// sampleWritten takes note of a sample that somebody changed, and makes the jobs due that wait
// for it.
func (b *batcher) sampleWritten(m jetstream.Msg) {
	key := m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:]
	meta, err := m.Metadata()
	var s sample
	if err != nil || json.Unmarshal(m.Data(), &s) != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent.put(key, recentSample{s, meta.Sequence.Stream, b.now()})
	if b.rechecks.noted(key, s); len(b.rechecks.queue) == 1 {
		signal(b.wakeAsk) // it may be the next thing to do
	}
	e := b.list.entries[key]
	if e == nil {
		return
	}
	e.again = e.busy
	if !e.busy {
		e.pending = false
		delete(b.toAsk, key)
		b.list.schedule(e, b.now())
		signal(b.wakeLook)
	}
}

// sampleOf returns what is known about a sample, and its revision, as it was heard of or else
// read.
func (b *batcher) sampleOf(ctx context.Context, key string) (sample, uint64, error) {
	b.mu.Lock()
	r, ok := b.recent.get(key, b.now())
	b.mu.Unlock()
	if ok {
		return r.sample, r.rev, nil
	}
	return b.q.loadSample(ctx, key)
}

// rechecked deals with a second answer about a verdict. A change is told before it is
// recorded: should we die in between, it is found again.
func (b *batcher) rechecked(ctx context.Context, key string, r wildfire.VerdictRecord) error {
	s, _, err := b.q.loadSample(ctx, key)
	if err != nil || s.State != stateVerdict || !r.HasVerdict || !r.Verdict.Final() || int(r.Verdict) == s.Verdict {
		return err
	}
	now := b.now().UTC().Truncate(time.Second)
	before := wildfire.Verdict(s.Verdict)
	told, err := b.tellChange(ctx, key, before, r.Verdict, s.DecidedAt, now)
	if err != nil {
		return err
	}
	_, err = b.q.changeSample(ctx, key, func(s *sample) bool {
		if s.State != stateVerdict || s.Verdict == int(r.Verdict) {
			return false
		}
		s.decide(r.Verdict, r.MD5, now)
		return true
	})
	b.log.Info().Str("sha256", key).Stringer("from", before).Stringer("verdict", r.Verdict).Int("jobs", told).
		Msg("WildFire changed its mind")
	return err
}

// tellChange publishes a changed event for every job that got the verdict of before. Which
// those are is read from RESULTS: changes are rare, and so nothing is written for them in
// advance.
func (b *batcher) tellChange(ctx context.Context, key string, before, after wildfire.Verdict, since, at time.Time) (int, error) {
	sub := results.NewSubscriber(b.q.js, results.SubscriberConfig{
		Prefix: b.q.prefix, Since: since.Add(-time.Minute),
		Filter: results.Filter{Types: []results.Type{results.Verdict}, Outcomes: []string{before.String()}},
	})
	told := 0
	err := sub.Drain(ctx, func(ctx context.Context, e results.Event) error {
		if e.Data.SHA256 != key {
			return nil
		}
		code := int(after)
		e.Type, e.Time = results.Changed, at
		e.Data.Verdict, e.Data.VerdictCode, e.Data.DecidedAt, e.Data.Basis = after.String(), &code, at, results.BasisLookup
		told++
		return b.q.publishEvent(ctx, e)
	})
	if err != nil {
		return told, fmt.Errorf("tell that the verdict on %s changed: %w", key, err)
	}
	return told, nil
}
