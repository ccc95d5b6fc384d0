package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/results"
)

// aJob is a job with its contents in its message.
func aJob(source, id string) *Message {
	m := &Message{Raw: true, Contents: []byte("MZ " + source + id)}
	m.Job = pipeline.Job{
		ID:       id,
		Source:   source,
		Priority: pipeline.Normal,
		Kind:     pipeline.KindFile,
		Filename: "a.exe",
	}
	m.Job.SetVerified("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", int64(len(m.Contents)))

	return m
}

// Of many writers of one record one succeeds, and the record has its value.
func TestLedgerComparesAndSets(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, q *Queue) {
		const writers = 40
		for round := range 5 {
			before, err := q.ledger.Sample(t.Context(), "s")
			if err != nil {
				t.Fatal(err)
			}

			var won atomic.Int32
			var winner atomic.Value
			var all sync.WaitGroup
			for n := range writers {
				all.Go(func() {
					s := before
					s.State = pipeline.StateUploading
					s.Owner = fmt.Sprintf("%d.%d", round, n)
					c := q.ledger.SampleUpdate(s)
					switch err := q.ledger.Commit(t.Context(), c); {
					case err == nil:
						won.Add(1)
						winner.Store(s.Owner)
						if c.Revision <= before.Revision {
							t.Errorf("got revision %d after revision %d", c.Revision, before.Revision)
						}
					case !errors.Is(err, pipeline.ErrConflict):
						t.Error(err)
					}
				})
			}
			all.Wait()

			after, err := q.ledger.Sample(t.Context(), "s")
			if err != nil {
				t.Fatal(err)
			}
			if won.Load() != 1 || after.Owner != winner.Load() {
				t.Errorf("%d of %d writers succeeded, and the record has the owner %q", won.Load(), writers, after.Owner)
			}
		}
	})
}

// Concurrent changes by many writers all take effect.
func TestChangeSampleLosesNoChange(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	const writers = 20
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			_, err := q.ledger.ChangeSample(t.Context(), "s", func(s *pipeline.Sample) bool {
				s.State = pipeline.StateRetrying
				s.Attempts++
				return true
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	if s, err := q.ledger.Sample(t.Context(), "s"); err != nil || s.Attempts != writers {
		t.Errorf("%d changes (%v), want %d", s.Attempts, err, writers)
	}
}

// Records of finished jobs expire with the results. Records of jobs in progress or waiting never
// expire.
func TestLedgerExpiresFinishedRecords(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	over := map[pipeline.State]bool{pipeline.StateNone: true, pipeline.StateVerdict: true, pipeline.StateRefused: true}
	for _, state := range pipeline.States() {
		s := SampleEntry{Key: "s-" + string(state), Sample: pipeline.Sample{State: state}}
		if err := q.ledger.Commit(t.Context(), q.ledger.SampleUpdate(s)); err != nil {
			t.Fatal(err)
		}
		expires(t, q, q.SampleSubject(s.Key), over[state])
	}

	m := aJob("mail", "a")
	waiting := q.ledger.WaitingUpdate(m, Waiting{Sample: m.Job.SHA256}, 0)
	if err := q.ledger.Commit(t.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	expires(t, q, q.JobRecordSubject(m.Job.Ref()), false)

	ev := pipeline.FailedEvent(m.Job, results.Error{Reason: results.Rejected, Message: "no"}, 1, time.Now())
	entry := JobEntry{JobHeader: JobHeader{Revision: waiting.Revision, State: JobWaiting}}
	if _, err := q.Events().Finish(t.Context(), m, Ending{Event: ev, Sample: m.Job.SHA256, Entry: entry}); err != nil {
		t.Fatal(err)
	}
	expires(t, q, q.JobRecordSubject(m.Job.Ref()), true)

	accepted := pipeline.Job{ID: "b", Source: "mail", Priority: pipeline.Normal, URL: "https://example.test/"}
	if _, err := q.CheckingPublisher().Submit(t.Context(), accepted, Input{}); err != nil {
		t.Fatal(err)
	}
	expires(t, q, q.JobRecordSubject(accepted.Ref()), true)
}

func expires(t *testing.T, q *Queue, subject string, want bool) {
	t.Helper()
	m, err := q.streams.ledger.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if ttl := m.Header.Get(headerTTL); (ttl != "") != want {
		t.Errorf("%s has the time to live %q, want one: %v", subject, ttl, want)
	}
}

// A waiting job is read back from the ledger unchanged.
func TestAWaitingJobIsKeptWhole(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	m := aJob("mail", "an id, with spaces")
	m.Job.Metadata = map[string]string{"client": "10.0.0.7"}
	m.AcceptedAt = time.Now().UTC()
	since := time.Now().UTC()
	why := Waiting{Sample: m.Job.SHA256, Basis: results.BasisShared, Pending: since, Parked: pipeline.Uploads}
	if err := q.ledger.Commit(t.Context(), q.ledger.WaitingUpdate(m, why, 0)); err != nil {
		t.Fatal(err)
	}

	entry, err := q.ledger.Job(t.Context(), m.Job.Ref())
	if err != nil || entry.State != JobWaiting || entry.Message == nil {
		t.Fatalf("%+v, %v", entry, err)
	}
	got := entry.Message
	if got.Job.Ref() != m.Job.Ref() || !got.Job.Verified || got.Job.SHA256 != m.Job.SHA256 || got.Job.Metadata["client"] != "10.0.0.7" ||
		string(got.Contents) != string(m.Contents) || got.Basis != results.BasisShared || !got.AcceptedAt.Equal(m.AcceptedAt) {
		t.Errorf("got %+v\nwant %+v", m, got)
	}

	found := 0
	for r, err := range q.ledger.readJobs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		found++
		if r.Source != "mail" || r.State != JobWaiting || r.Parked != pipeline.Uploads || !r.Pending.Equal(since) || r.Sample != m.Job.SHA256 {
			t.Errorf("the record's headers are %+v", r)
		}
	}
	if found != 1 {
		t.Errorf("%d records, want 1", found)
	}
}

// A server drops messages with a recent ID, on any subject. JOBS must not do that: one source would
// suppress the jobs of another.
func TestJobsOfTwoSourcesMayShareAnID(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, q *Queue) {
		const ids = 50
		var groups []*group
		for i := range ids {
			for _, source := range []string{"mail", "web"} {
				m := nats.NewMsg(q.JobSubject(pipeline.Normal, source))
				m.Header[nats.MsgIdHdr] = []string{fmt.Sprint(i)}
				m.Header[HeaderFilename] = []string{"a.exe"}
				m.Data = []byte(source)
				if i%2 == 0 {
					groups = append(groups, groupOf(m)) // in one atomic batch
					continue
				}
				if _, err := q.JetStream().PublishMsg(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
		}
		sendAsBatch(q.jobs.commits, groups...)
		await(t, groups...)
		for _, g := range groups {
			if err := g.messages[0].err; err != nil {
				t.Fatal(err)
			}
		}

		info, err := q.streams.jobs.Info(t.Context(), jetstream.WithSubjectFilter(q.prefix+".>"))
		if err != nil {
			t.Fatal(err)
		}
		for _, source := range []string{"mail", "web"} {
			if n := info.State.Subjects[q.JobSubject(pipeline.Normal, source)]; n != ids {
				t.Errorf("%d jobs of %s, want %d", n, source, ids)
			}
		}
	})
}

// With any number of sources, each job is in a feed, and the consumers stay within the server's
// limit.
func TestFeedsServeManySources(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	const sources = 434 // 1,302 lanes; a stream may have 1,000 consumers
	want := map[string]bool{}
	for i := range sources {
		for _, p := range pipeline.Priorities() {
			subject := q.JobSubject(p, fmt.Sprintf("s%d", i))
			want[subject] = true
			if _, err := q.JetStream().PublishAsync(subject, []byte("MZ")); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-q.JetStream().PublishAsyncComplete()

	for range 2 { // again, once all are known
		feeds, err := q.lanes.Feeds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, f := range feeds {
			names[f.Name] = true
		}
		if limit := 3 * (ownConsumers + sharedConsumers); len(names) != len(feeds) || len(feeds) > limit {
			t.Errorf("%d feeds with %d names, want at most %d", len(feeds), len(names), limit)
		}
		if len(want) < 3*sources {
			continue
		}

		for _, f := range feeds {
			batch, err := f.Consumer.FetchNoWait(sources)
			if err != nil {
				t.Fatal(err)
			}
			for m := range batch.Messages() {
				delete(want, m.Subject())
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("%d lanes were not served", len(want))
	}
}

// Limits that were changed from outside are corrected, and missing streams and buckets are created
// again.
func TestRepair(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	ctx := t.Context()

	if changed, err := q.Streams().Repair(ctx); err != nil || len(changed) != 0 {
		t.Fatalf("nothing was done to %v (%v)", changed, err)
	}

	for name, tc := range map[string]struct {
		stream string
		edit   func(*jetstream.StreamConfig)
	}{
		"few messages":          {q.LedgerStream(), func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }},
		"few bytes":             {q.JobsStream(), func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }},
		"the oldest go":         {q.LedgerStream(), func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }},
		"a short age":           {q.ResultsStream(), func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
		"small messages":        {q.JobsStream(), func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 }},
		"many records":          {q.LedgerStream(), func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }},
		"another subject":       {q.ResultsStream(), func(c *jetstream.StreamConfig) { c.Subjects = []string{"elsewhere"} }},
		"dedupe of jobs":        {q.JobsStream(), func(c *jetstream.StreamConfig) { c.Sources = nil }},
		"no dedupe of events":   {q.ResultsStream(), func(c *jetstream.StreamConfig) { c.Duplicates = time.Second }},
		"no direct reads":       {q.LedgerStream(), func(c *jetstream.StreamConfig) { c.AllowDirect = false }},
		"control: few bytes":    {"KV_" + q.ControlBucket(), func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 10 }},
		"control: an age":       {"KV_" + q.ControlBucket(), func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
		"control: few keys":     {"KV_" + q.ControlBucket(), func(c *jetstream.StreamConfig) { c.MaxMsgs = 3 }},
		"control: oldest go":    {"KV_" + q.ControlBucket(), func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }},
		"objects: few bytes":    {"OBJ_" + q.FilesBucket(), func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }},
		"objects: a short age":  {"OBJ_" + q.FilesBucket(), func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
		"objects: small chunks": {"OBJ_" + q.FilesBucket(), func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 }},
		"no batches":            {q.LedgerStream(), func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }},

		"nothing is acknowledged": {q.JobsStream(), func(c *jetstream.StreamConfig) { c.NoAck = true }},
		"control: no answers":     {"KV_" + q.ControlBucket(), func(c *jetstream.StreamConfig) { c.NoAck = true }},
		"objects: no answers":     {"OBJ_" + q.FilesBucket(), func(c *jetstream.StreamConfig) { c.NoAck = true }},
		"stored elsewhere": {q.ResultsStream(), func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "backburn.results.>", Destination: "elsewhere.>"}
		}},
		"one event each":  {q.DeadStream(), func(c *jetstream.StreamConfig) { c.Discard, c.DiscardNewPerSubject = jetstream.DiscardNew, true }},
		"slow consumers":  {q.JobsStream(), func(c *jetstream.StreamConfig) { c.ConsumerLimits.MaxAckPending = 1 }},
		"short consumers": {q.JobsStream(), func(c *jetstream.StreamConfig) { c.ConsumerLimits.InactiveThreshold = time.Second }},
		"few consumers":   {q.JobsStream(), func(c *jetstream.StreamConfig) { c.MaxConsumers = 1 }},
		"dead letters as jobs": {q.JobsStream(), func(c *jetstream.StreamConfig) {
			c.Sources = []*jetstream.StreamSource{{Name: q.DeadStream()}}
		}},
	} {
		s, err := q.JetStream().Stream(ctx, tc.stream)
		if err != nil {
			t.Fatal(err)
		}
		before := s.CachedInfo().Config
		edited := before
		tc.edit(&edited)
		if _, err := q.JetStream().UpdateStream(ctx, edited); err != nil {
			t.Errorf("%s: cannot be edited: %v", name, err)
			continue
		}

		changed, err := q.Streams().Repair(ctx)
		if err != nil || !slices.Equal(changed, []string{tc.stream}) {
			t.Errorf("%s: %v was corrected (%v), want %s", name, changed, err, tc.stream)
		}
		s, err = q.JetStream().Stream(ctx, tc.stream)
		if err != nil {
			t.Fatal(err)
		}
		if !matchesConfig(s.CachedInfo().Config, before) {
			t.Errorf("%s: it is still\n%+v\nand was\n%+v", name, s.CachedInfo().Config, before)
			if err := q.Streams().Provision(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}

	for _, stream := range []string{
		q.JobsStream(), q.LedgerStream(), q.ResultsStream(), q.DeadStream(),
		"KV_" + q.ControlBucket(), "OBJ_" + q.FilesBucket(),
	} {
		if err := q.JetStream().DeleteStream(ctx, stream); err != nil {
			t.Fatal(err)
		}
		if changed, err := q.Streams().Repair(ctx); err != nil || !slices.Equal(changed, []string{stream}) {
			t.Errorf("%v was created again (%v), want %s", changed, err, stream)
		}
	}
}

// A worker that has just learned a verdict does not end a job with other contents that has taken
// the same ID since the worker looked.
func TestAnotherJobOfTheSameIDIsNotEnded(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	ctx := t.Context()
	first, second := aJob("mail", "same"), aJob("mail", "same")
	second.Job.SHA256 = strings.Repeat("ab", 32)
	verdict := func(m *Message) Ending {
		return Ending{Sample: m.Job.SHA256, Event: results.Event{
			Type: results.Verdict, Time: time.Now().UTC(),
			Data: results.Data{JobID: "same", Source: "mail", Verdict: "benign", SHA256: m.Job.SHA256},
		}}
	}
	check := func(when string, state JobState) {
		t.Helper()
		if _, err := q.Events().Finish(ctx, second, verdict(second)); !errors.Is(err, pipeline.ErrConflict) {
			t.Errorf("%s: %v, want a conflict", when, err)
		}
		if entry, err := q.ledger.Job(ctx, first.Job.Ref()); err != nil || entry.State != state || entry.Sample != first.Job.SHA256 {
			t.Errorf("%s: the first job's record is %+v (%v)", when, entry, err)
		}
	}

	if err := q.ledger.Commit(ctx, q.ledger.WaitingUpdate(first, Waiting{Sample: first.Job.SHA256}, 0)); err != nil {
		t.Fatal(err)
	}
	check("the first waits", JobWaiting)
	if _, err := q.Events().Finish(ctx, first, verdict(first)); err != nil {
		t.Fatal(err)
	}
	check("the first has ended", JobDone)
}

// Some settings of a stream cannot be undone. They do not keep the others from being corrected.
func TestRepairBesideWhatCannotBeUndone(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	ctx := t.Context()
	edit := func(stream string, change func(*jetstream.StreamConfig)) {
		t.Helper()
		s, err := q.streams.js.Stream(ctx, stream)
		if err != nil {
			t.Fatal(err)
		}
		c := s.CachedInfo().Config
		change(&c)
		if _, err := q.streams.js.UpdateStream(ctx, c); err != nil {
			t.Fatal(err)
		}
	}

	edit(q.LedgerStream(), func(c *jetstream.StreamConfig) {
		c.DenyDelete = true
		c.Compression = jetstream.S2Compression
		c.MaxMsgs = 10
	})
	if changed, err := q.Streams().Repair(ctx); err != nil || !slices.Equal(changed, []string{q.LedgerStream()}) {
		t.Errorf("%v was corrected (%v), want %s", changed, err, q.LedgerStream())
	}
	s, err := q.streams.js.Stream(ctx, q.LedgerStream())
	if err != nil {
		t.Fatal(err)
	}
	if c := s.CachedInfo().Config; c.Compression != jetstream.S2Compression {
		t.Error("the operator's compression was undone")
	}

	edit(q.DeadStream(), func(c *jetstream.StreamConfig) { c.Sealed = true })
	edit("OBJ_"+q.FilesBucket(), func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 })
	changed, err := q.Streams().Repair(ctx)
	if !slices.Equal(changed, []string{"OBJ_" + q.FilesBucket()}) {
		t.Errorf("%v was corrected, want the bucket of objects", changed)
	}
	if err == nil || !strings.Contains(err.Error(), q.DeadStream()) || !strings.Contains(err.Error(), "make a backup of the stream and delete it") {
		t.Errorf("the sealed stream has the error %v", err)
	}
}

// A lane's consumer that was changed or paused from outside delivers whole jobs again.
func TestRepairConsumers(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	ctx := t.Context()
	if _, err := q.streams.js.Publish(ctx, q.JobSubject(pipeline.Normal, "mail"), []byte("MZ")); err != nil {
		t.Fatal(err)
	}
	feeds, err := q.lanes.Feeds(ctx)
	if err != nil || len(feeds) != 1 {
		t.Fatalf("%d feeds (%v)", len(feeds), err)
	}
	name := feeds[0].Name
	before, err := q.streams.jobs.Consumer(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	right := before.CachedInfo().Config

	if changed, err := q.Lanes().RepairConsumers(ctx); err != nil || len(changed) != 0 {
		t.Fatalf("nothing was done to %v (%v)", changed, err)
	}
	for what, edit := range map[string]func(*jetstream.ConsumerConfig){
		"no contents":    func(c *jetstream.ConsumerConfig) { c.HeadersOnly = true },
		"one delivery":   func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 1 },
		"one at a time":  func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 1 },
		"small requests": func(c *jetstream.ConsumerConfig) { c.MaxRequestMaxBytes = 10 },
		"impatient":      func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second },
		"growing delays": func(c *jetstream.ConsumerConfig) { c.BackOff = []time.Duration{time.Hour} },
		"soon removed":   func(c *jetstream.ConsumerConfig) { c.InactiveThreshold = time.Second },
		"no requeued":    func(c *jetstream.ConsumerConfig) { c.FilterSubjects = c.FilterSubjects[:1] },
		"paused":         nil,
	} {
		edited := right
		edited.FilterSubjects = slices.Clone(right.FilterSubjects)
		if edit == nil {
			_, err = q.streams.jobs.PauseConsumer(ctx, name, time.Now().Add(time.Hour))
		} else {
			edit(&edited)
			_, err = q.streams.jobs.UpdateConsumer(ctx, edited)
		}
		if err != nil {
			t.Errorf("%s: cannot be edited: %v", what, err)
			continue
		}

		if changed, err := q.Lanes().RepairConsumers(ctx); err != nil || !slices.Equal(changed, []string{name}) {
			t.Errorf("%s: %v was corrected (%v), want %s", what, changed, err, name)
		}
		c, err := q.streams.jobs.Consumer(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if is := c.CachedInfo(); is.Paused || !matchesConsumer(is.Config, right) {
			t.Errorf("%s: it is still\n%+v\nand was\n%+v", what, is, right)
		}
	}
}

// A consumer never goes back. Jobs that it has passed over are delivered all the same: those of a
// source that joins a shared consumer late, and those that are in the stream again although they
// were acknowledged, because the server's disk failed soon after.
func TestConsumersThatPassedOverAJob(t *testing.T) {
	t.Parallel()
	const shared = "lane-normal-=shared-1"
	for name, deliver := range map[string]func(q *Queue, before []string, passed string) error{
		"a source joins late": func(q *Queue, _ []string, passed string) error {
			_, err := q.lanes.addSubjects(t.Context(), shared, []string{passed})
			return err
		},
		"in the stream again": func(q *Queue, before []string, passed string) error {
			_, err := q.lanes.makeConsumer(t.Context(), shared, append(before, passed))
			if err != nil {
				return err
			}
			repaired, err := q.lanes.RepairConsumers(t.Context())
			if !slices.Equal(repaired, []string{shared}) {
				t.Errorf("%v was repaired, want %s", repaired, shared)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := openTest(t)
			first, late := q.JobSubject(pipeline.Normal, "first"), q.JobSubject(pipeline.Normal, "late")
			c, err := q.lanes.addSubjects(t.Context(), shared, []string{first})
			if err != nil {
				t.Fatal(err)
			}
			for _, subject := range []string{late, first} {
				if _, err := q.streams.js.Publish(t.Context(), subject, []byte("MZ")); err != nil {
					t.Fatal(err)
				}
			}
			msg, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			if err := msg.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}

			if err := deliver(q, []string{first}, late); err != nil {
				t.Fatal(err)
			}
			msg, err = c.Next(jetstream.FetchMaxWait(5 * time.Second))
			if err != nil || msg.Subject() != late {
				t.Fatalf("the job of %s is not delivered: %v %v", late, msg, err)
			}
			if err := msg.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
			if repaired, err := q.lanes.RepairConsumers(t.Context()); err != nil || len(repaired) != 0 {
				t.Errorf("%v was repaired, although no job is left (%v)", repaired, err)
			}
		})
	}
}

// IDs are not remembered for longer than events are kept, because a server would refuse such a
// stream.
func TestEventsAreKeptForLessThanIDs(t *testing.T) {
	t.Parallel()
	nc := connectTo(t, startServer(t, t.TempDir(), false).ClientURL())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := Open(ctx, nc, Topology{Prefix: "backburn", Replicas: 1, Lease: time.Minute, Results: EventLimits{MaxAge: time.Minute}}); err != nil {
		t.Fatal(err)
	}
}

// A stream that is deleted during operation is created again by the next process that needs it, and
// nothing hangs.
func TestWritersRecreateADeletedStream(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	ctx := t.Context()

	for _, stream := range []string{q.JobsStream(), q.LedgerStream(), q.ResultsStream(), q.DeadStream()} {
		if err := q.JetStream().DeleteStream(ctx, stream); err != nil {
			t.Fatal(err)
		}

		m := aJob("mail", "after-"+stream)
		link := pipeline.Job{ID: m.Job.ID, Source: "mail", Priority: pipeline.Normal, URL: "https://example.test/"}
		if _, err := q.Publisher().Submit(ctx, link, Input{}); err != nil {
			t.Errorf("%s: %v", stream, err)
		}
		ev := pipeline.FailedEvent(m.Job, results.Error{Reason: results.Rejected, Message: "no"}, 1, time.Now())
		if _, err := q.Events().Finish(ctx, m, Ending{Event: ev, Sample: m.Job.SHA256}); err != nil {
			t.Errorf("%s: %v", stream, err)
		}
		if _, done, err := q.Ledger().Final(ctx, m.Job.Ref()); err != nil || !done {
			t.Errorf("%s: the job is done: %v (%v)", stream, done, err)
		}
	}
}

// Of two contents under one ID, the first is accepted. A repeat of either gets the same answer.
func TestOnceAcceptsOneOfTwoContents(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, q *Queue) {
		links := []string{"https://example.test/a", "https://example.test/b"}
		var accepted [2]atomic.Int32
		submit := func(i int) {
			j := pipeline.Job{ID: "one", Source: "mail", Priority: pipeline.Normal, URL: links[i]}
			switch _, err := q.CheckingPublisher().Submit(t.Context(), j, Input{}); {
			case err == nil:
				accepted[i].Add(1)
			case !errors.Is(err, ErrOtherContents):
				t.Error(err)
			}
		}

		var all sync.WaitGroup
		for n := range 30 {
			all.Go(func() { submit(n % 2) })
		}
		all.Wait()

		a, b := accepted[0].Load(), accepted[1].Load()
		if a*b != 0 || a+b != 15 {
			t.Fatalf("%d submissions of one link and %d of the other were accepted", a, b)
		}
		first := 0
		if b > 0 {
			first = 1
		}
		info, err := q.streams.jobs.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
			m, err := q.streams.jobs.GetMsg(t.Context(), seq)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := q.jobs.open(m); err != nil || got.Job.URL != links[first] {
				t.Errorf("JOBS holds %s (%v), want %s", got.Job.URL, err, links[first])
			}
		}
	})
}

// An ID belongs to its source: a job of another source with the same ID is not a repeat.
func TestOnceDistinguishesSources(t *testing.T) {
	t.Parallel()
	q := openTest(t)

	for _, source := range []string{"mail", "web"} {
		j := pipeline.Job{ID: "one", Source: source, Priority: pipeline.Normal, URL: "https://example.test/" + source}
		if r, err := q.CheckingPublisher().Submit(t.Context(), j, Input{}); err != nil || r.Duplicate {
			t.Errorf("%s: %+v, %v", source, r, err)
		}
	}
}
