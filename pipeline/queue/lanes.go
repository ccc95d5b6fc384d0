package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
)

// SourceLane identifies the jobs of one source that have the same priority.
type SourceLane struct {
	Priority pipeline.Priority
	Source   string // as in the subject, even if it is not a valid source
}

// Feed is a consumer from which workers fetch jobs of one lane. Each source has its own feed in a
// lane, so that a source that floods the lane delays only itself. If a lane has very many sources,
// some of them share a feed.
type Feed struct {
	Name     string
	Priority pipeline.Priority
	Source   string // "" if sources share the feed
	Consumer jetstream.Consumer
}

// The number of sources in a lane that have a consumer of their own, and the number of consumers
// that the others share. The consumers of all lanes together stay well below a stream's limit.
const (
	ownConsumers    = 200
	sharedConsumers = 16
)

// lanePrefix begins the names of the consumers of all lanes.
const lanePrefix = "lane-"

// LaneConsumerPrefix begins the names of a lane's consumers.
func LaneConsumerPrefix(p pipeline.Priority) string { return lanePrefix + string(p) + "-" }

// own returns the feed of this source alone, without its consumer.
func (l SourceLane) own() Feed {
	name := l.Source
	if !pipeline.ValidSource(name) { // a publisher may use any subject token; such jobs will end in DEAD
		sum := sha256.Sum256([]byte(name))
		name = "=" + hex.EncodeToString(sum[:16]) // no valid source contains '='
	}

	return Feed{Name: LaneConsumerPrefix(l.Priority) + name, Priority: l.Priority, Source: l.Source}
}

// shared returns the feed that this source shares with others, without its consumer.
func (l SourceLane) shared() Feed {
	sum := sha256.Sum256([]byte(l.Source))

	return Feed{
		Name:     fmt.Sprintf("%s=shared-%d", LaneConsumerPrefix(l.Priority), sum[0]%sharedConsumers),
		Priority: l.Priority,
	}
}

const (
	// The most jobs of one consumer that all workers together hold, including jobs in back-off.
	laneMaxAckPending = 10_000

	// The server removes a consumer that has long been unused. Its jobs stay.
	consumerIdleLimit = time.Hour
)

// Lanes finds the sources that have jobs in each lane, and creates the consumers from which workers
// fetch them. It is safe for concurrent use.
type Lanes struct {
	streams *Streams
	feeds   sync.Map // Feed by name, of feeds that belong to one source
}

func (ls *Lanes) subjects(l SourceLane) []string {
	return []string{ls.streams.JobSubject(l.Priority, l.Source), ls.streams.RequeueSubject(l.Priority, l.Source)}
}

// queued counts the jobs in JOBS, by lane and source. oldest is the sequence of the first of them.
func (ls *Lanes) queued(ctx context.Context) (jobs map[SourceLane]int, oldest uint64, err error) {
	info, err := ls.streams.jobs.Info(ctx, jetstream.WithSubjectFilter(ls.streams.prefix+".>"))
	if err != nil {
		return nil, 0, fmt.Errorf("stream %s: %w", ls.streams.JobsStream(), err)
	}

	return ls.streams.byLane(info.State.Subjects), info.State.FirstSeq, nil
}

// byLane converts the number of messages of each subject to the number of each lane and source.
func (n Names) byLane(subjects map[string]uint64) map[SourceLane]int {
	lanes := map[SourceLane]int{}
	for subject, messages := range subjects {
		if p, source, _, _ := n.parseJobSubject(subject); p.Valid() {
			lanes[SourceLane{p, source}] += int(messages)
		}
	}

	return lanes
}

// Feeds returns the feeds that have jobs now, and creates missing consumers. A consumer has no
// delivery limit and no back-off list: attempts are counted in the sample's record. If Feeds cannot
// create some consumers, it returns the other feeds with an error.
func (ls *Lanes) Feeds(ctx context.Context) ([]Feed, error) {
	queued, _, err := ls.queued(ctx)
	if err != nil {
		ls.streams.recreate(ctx, err)
		return nil, err
	}

	var feeds []Feed
	var fresh []SourceLane
	for l := range queued {
		if f, known := ls.feeds.Load(l.own().Name); known {
			feeds = append(feeds, f.(Feed))
		} else {
			fresh = append(fresh, l)
		}
	}
	if len(fresh) == 0 {
		return feeds, nil
	}

	slices.SortFunc(fresh, func(a, b SourceLane) int { return strings.Compare(a.Source, b.Source) })
	added, err := ls.addFeeds(ctx, fresh)

	return append(feeds, added...), err
}

// Forget forgets a feed whose consumer does not answer, so that it is created again.
func (ls *Lanes) Forget(f Feed) { ls.feeds.Delete(f.Name) }

// addFeeds finds or creates the feeds of lanes.
func (ls *Lanes) addFeeds(ctx context.Context, lanes []SourceLane) (feeds []Feed, err error) {
	names, err := ls.consumers(ctx)
	if err != nil {
		return nil, err
	}

	var faults []error
	joining := map[Feed][]string{} // subjects, by shared feed
	for _, l := range lanes {
		own := l.own()
		switch {
		case l.Source == "*" || l.Source == ">": // its consumer would get the jobs of all sources
			faults = append(faults, fmt.Errorf("jobs were published on %s, which is a wildcard and not a valid subject: delete these messages one by one, because a purge of this subject removes the jobs of all sources",
				ls.streams.JobSubject(l.Priority, l.Source)))
		case names[own.Name] || countConsumers(names, l.Priority) < ownConsumers:
			names[own.Name] = true
			if own.Consumer, err = ls.makeConsumer(ctx, own.Name, ls.subjects(l)); err != nil {
				faults = append(faults, err)
				continue
			}
			ls.feeds.Store(own.Name, own)
			feeds = append(feeds, own)
		default:
			joining[l.shared()] = append(joining[l.shared()], ls.subjects(l)...)
		}
	}

	for f, subjects := range joining {
		if f.Consumer, err = ls.addSubjects(ctx, f.Name, subjects); err != nil {
			faults = append(faults, err)
			continue
		}
		feeds = append(feeds, f)
	}

	return feeds, errors.Join(faults...)
}

func countConsumers(names map[string]bool, p pipeline.Priority) int {
	n := 0
	for name := range names {
		if strings.HasPrefix(name, LaneConsumerPrefix(p)) {
			n++
		}
	}

	return n
}

func (ls *Lanes) consumers(ctx context.Context) (map[string]bool, error) {
	names := map[string]bool{}
	list := ls.streams.jobs.ConsumerNames(ctx)
	for name := range list.Name() {
		names[name] = true
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("consumers of %s: %w", ls.streams.JobsStream(), err)
	}

	return names, nil
}

// addSubjects adds subjects to those of a shared consumer. If two workers do that at the same
// moment, one change is lost. The worker that made it repeats it at its next call of Feeds.
func (ls *Lanes) addSubjects(ctx context.Context, name string, subjects []string) (jetstream.Consumer, error) {
	c, err := ls.streams.jobs.Consumer(ctx, name)
	if err != nil {
		return ls.makeConsumer(ctx, name, subjects)
	}

	have := c.CachedInfo().Config.FilterSubjects
	missing := slices.DeleteFunc(slices.Clone(subjects), func(s string) bool { return slices.Contains(have, s) })
	if len(missing) == 0 {
		return c, nil
	}

	all := append(have, missing...)
	if c, err = ls.makeConsumer(ctx, name, all); err != nil {
		return nil, err
	}
	passed, err := ls.passedOver(ctx, c.CachedInfo(), missing)
	if err != nil || !passed {
		return c, err
	}

	return ls.recreateConsumer(ctx, name, all)
}

// passedOver reports whether the stream has a message of these subjects that the consumer has
// passed over, and will never deliver. It takes a message that a worker holds for one of these. So
// the caller must pass only subjects that it has just added to the consumer, or use a consumer that
// waits for no acknowledgment.
func (ls *Lanes) passedOver(ctx context.Context, info *jetstream.ConsumerInfo, subjects []string) (bool, error) {
	for _, s := range subjects {
		m, err := ls.streams.jobs.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(s))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("first job on %s: %w", s, err)
		}
		if m.Sequence <= info.Delivered.Stream {
			return true, nil
		}
	}

	return false, nil
}

// recreateConsumer replaces a consumer by one that delivers every message of its subjects. Jobs
// that workers hold are delivered again.
func (ls *Lanes) recreateConsumer(ctx context.Context, name string, subjects []string) (jetstream.Consumer, error) {
	if err := ls.streams.jobs.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, fmt.Errorf("consumer %s: %w", name, err)
	}

	return ls.makeConsumer(ctx, name, subjects)
}

func (ls *Lanes) makeConsumer(ctx context.Context, name string, subjects []string) (jetstream.Consumer, error) {
	c, err := ls.streams.jobs.CreateOrUpdateConsumer(ctx, ls.config(name, subjects))
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", name, err)
	}

	return c, nil
}

func (ls *Lanes) config(name string, subjects []string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:           name,
		Description:       "jobs of a lane",
		FilterSubjects:    subjects,
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           ls.streams.topology.Lease,
		MaxDeliver:        -1,
		MaxAckPending:     laneMaxAckPending,
		InactiveThreshold: consumerIdleLimit,
	}
}

func (ls *Lanes) list(ctx context.Context) (consumers []*jetstream.ConsumerInfo, err error) {
	all := ls.streams.jobs.ListConsumers(ctx)
	for info := range all.Info() {
		if strings.HasPrefix(info.Name, lanePrefix) {
			consumers = append(consumers, info)
		}
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("consumers of %s: %w", ls.streams.JobsStream(), err)
	}

	return consumers, nil
}

// RepairConsumers corrects those consumers of lanes that others changed. Workers do not notice such
// a change, and keep using the consumer. A missing consumer is created again by the worker that
// needs it. RepairConsumers also recreates idle consumers that have passed over jobs. For example,
// a job that was acknowledged shortly before the server's disk failed may be in the stream again.
// RepairConsumers returns the names of those that it corrected.
func (ls *Lanes) RepairConsumers(ctx context.Context) ([]string, error) {
	queued, _, err := ls.queued(ctx)
	if err != nil {
		return nil, err
	}
	consumers, err := ls.list(ctx)
	if err != nil {
		return nil, err
	}

	waiting := map[string]bool{}
	for l := range queued {
		for _, s := range ls.subjects(l) {
			waiting[s] = true
		}
	}

	var repaired []string
	var faults []error
	for _, info := range consumers {
		changed, err := ls.repair(ctx, info, waiting)
		if err != nil {
			faults = append(faults, err)
		} else if changed {
			repaired = append(repaired, info.Name)
		}
	}

	return repaired, errors.Join(faults...)
}

// repair corrects one consumer, and reports whether that was necessary. waiting has the subjects
// that may have jobs in the stream.
func (ls *Lanes) repair(ctx context.Context, info *jetstream.ConsumerInfo, waiting map[string]bool) (bool, error) {
	want := ls.config(info.Name, info.Config.FilterSubjects)
	if l, own := laneOf(info.Name); own {
		want.FilterSubjects = ls.subjects(l)
	}

	if info.Paused || !matchesConsumer(info.Config, want) {
		_, err := ls.streams.jobs.CreateOrUpdateConsumer(ctx, want)
		if err == nil && info.Paused { // an update leaves it paused
			_, err = ls.streams.jobs.ResumeConsumer(ctx, info.Name)
		}
		if err != nil {
			err = fmt.Errorf("consumer %s: %w", info.Name, err)
		}
		return true, err
	}

	if info.NumPending > 0 || info.NumAckPending > 0 {
		return false, nil
	}
	subjects := slices.DeleteFunc(slices.Clone(want.FilterSubjects), func(s string) bool { return !waiting[s] })
	passed, err := ls.passedOver(ctx, info, subjects)
	if err != nil || !passed {
		return false, err
	}
	_, err = ls.recreateConsumer(ctx, info.Name, want.FilterSubjects)

	return true, err
}

// laneOf returns the source and priority to which a consumer belongs. It returns false if several
// sources share the consumer, or its source is not valid.
func laneOf(consumer string) (SourceLane, bool) {
	for _, p := range pipeline.Priorities() {
		source, ok := strings.CutPrefix(consumer, LaneConsumerPrefix(p))
		if ok && pipeline.ValidSource(source) {
			return SourceLane{p, source}, true
		}
	}

	return SourceLane{}, false
}

// matchesConsumer reports whether a consumer delivers whole jobs, to everybody who asks, and as
// often as needed.
func matchesConsumer(is, want jetstream.ConsumerConfig) bool {
	return !slices.ContainsFunc(want.FilterSubjects, func(s string) bool { return !slices.Contains(is.FilterSubjects, s) }) &&
		len(is.FilterSubjects) == len(want.FilterSubjects) &&
		is.AckWait == want.AckWait &&
		is.InactiveThreshold == want.InactiveThreshold &&
		sameLimit(int64(is.MaxDeliver), int64(want.MaxDeliver)) &&
		is.MaxAckPending == want.MaxAckPending &&
		len(is.BackOff) == 0 &&
		!is.HeadersOnly &&
		is.MaxRequestBatch <= 0 &&
		is.MaxRequestExpires == 0 &&
		is.MaxRequestMaxBytes <= 0 &&
		is.PriorityPolicy == want.PriorityPolicy
}
