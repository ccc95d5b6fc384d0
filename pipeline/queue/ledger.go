package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/results"
)

// The ledger is one stream, of which each subject keeps its last message alone:
//
//	<prefix>.ledger.sample.<sample key>     what is known about contents: a pipeline.Sample
//	<prefix>.ledger.job.<source>.<job key>  what became of a job: accepted, waiting, then done
//
// A record is changed by naming the sequence that it replaces, so of many writers one succeeds.
// What is over expires with the results; what waits stays.

// JobState says what became of a job.
type JobState string

// The states of a job. A job that nobody has looked at yet has no record.
const (
	JobAccepted JobState = "accepted" // submitted over HTTP, with what its contents are
	JobWaiting  JobState = "waiting"  // it waits for its sample, whole, with all that was learned
	JobDone     JobState = "done"     // it has its one final event
)

// Headers of the ledger's records of jobs.
const (
	headerState    = "Backburn-State"
	headerSample   = "Backburn-Sample"   // the sample's key
	headerPriority = "Backburn-Priority" // waiting: the job's
	headerPending  = "Backburn-Pending"  // waiting: since when WildFire has the sample, in ns since 1970
	headerParked   = "Backburn-Parked"   // waiting: the budget for which it waits
	headerBy       = "Backburn-By"       // done: the term of the leader that ended it
)

// JobEntry is a job's record.
type JobEntry struct {
	Revision uint64 // 0: there is none
	State    JobState
	Sample   string        // the sample's key
	Event    results.Event // of JobDone
	Message  *Message      // of JobWaiting
}

// SampleEntry is a sample's record.
type SampleEntry struct {
	Key      string
	Revision uint64 // 0: there is none
	pipeline.Sample
}

// Load reads a sample and a job at once. An empty key or ref reads nothing.
func (q *Queue) Load(ctx context.Context, sampleKey string, ref pipeline.Ref) (SampleEntry, JobEntry, error) {
	subjects := make([]string, 0, 2)
	if ref.ID != "" {
		subjects = append(subjects, q.LedgerSubject(ref))
	}
	if sampleKey != "" {
		subjects = append(subjects, q.SampleSubject(sampleKey))
	}

	s := SampleEntry{Key: sampleKey}
	var j JobEntry
	msgs, err := q.reads.last(ctx, subjects...)
	if err != nil {
		return s, j, fmt.Errorf("read the ledger: %w", err)
	}

	for i, m := range msgs {
		switch {
		case m == nil:
		case subjects[i] == q.SampleSubject(sampleKey):
			s.Revision = sequenceOf(m)
			if json.Unmarshal(m.Data, &s.Sample) != nil {
				s.Sample = pipeline.Sample{} // what cannot be read is written over
			}
		default:
			j = q.jobEntry(m)
		}
	}

	return s, j, nil
}

// Sample reads a sample.
func (q *Queue) Sample(ctx context.Context, key string) (SampleEntry, error) {
	s, _, err := q.Load(ctx, key, pipeline.Ref{})

	return s, err
}

// Job reads what became of a job.
func (q *Queue) Job(ctx context.Context, ref pipeline.Ref) (JobEntry, error) {
	_, j, err := q.Load(ctx, "", ref)

	return j, err
}

// jobEntry reads a record. One that cannot be read counts as none, and is written over.
func (q *Queue) jobEntry(m *nats.Msg) JobEntry {
	j := JobEntry{
		Revision: sequenceOf(m),
		State:    JobState(m.Header.Get(headerState)),
		Sample:   m.Header.Get(headerSample),
	}

	switch j.State {
	case JobDone:
		if j.Event.UnmarshalJSON(m.Data) != nil {
			return JobEntry{Revision: j.Revision}
		}
	case JobWaiting:
		msg, err := decodeRecord(m.Header, m.Data)
		if err != nil {
			return JobEntry{Revision: j.Revision}
		}
		j.Message = &msg
	}

	return j
}

// Change is one record of the ledger to be replaced.
type Change struct {
	msg *nats.Msg
	err error

	Revision uint64 // after a successful Commit: of the new record
}

func change(subject string, body []byte, replaces uint64, err error) *Change {
	m := nats.NewMsg(subject)
	m.Data = body
	m.Header[headerExpect] = []string{strconv.FormatUint(replaces, 10)}

	return &Change{msg: m, err: err}
}

// PutSample replaces a sample's record, if it is still at its revision.
func (q *Queue) PutSample(s SampleEntry) *Change {
	body, err := json.Marshal(s.Sample)
	c := change(q.SampleSubject(s.Key), body, s.Revision, err)
	if s.Final() || s.State == pipeline.StateNone {
		c.expires(q.topology.ResultsMaxAge)
	}

	return c
}

// Waiting is why a job waits.
type Waiting struct {
	Sample  string          // the sample's key
	Basis   results.Basis   // how the job will have come by its verdict
	Pending time.Time       // since when WildFire has the sample; zero: it has not
	Parked  pipeline.Budget // the budget that it waits for; "" for none
}

// PutWaiting replaces a job's record by the whole job, which waits.
func (q *Queue) PutWaiting(m *Message, why Waiting, replaces uint64) *Change {
	m.Basis = why.Basis
	c := change(q.LedgerSubject(m.Job.Ref()), nil, replaces, nil)
	c.err = m.encode(c.msg)

	h := c.msg.Header
	h[headerState] = []string{string(JobWaiting)}
	h[headerSample] = []string{why.Sample}
	h[headerPriority] = []string{string(m.Job.Priority)}
	if !why.Pending.IsZero() {
		h[headerPending] = []string{strconv.FormatInt(why.Pending.UnixNano(), 10)}
	}
	if why.Parked != "" {
		h[headerParked] = []string{string(why.Parked)}
	}

	return c
}

// putDone replaces a job's record by its final event. by names the leader, where it is one that
// ends the job: then nothing but the ledger knows of the event until it is published.
func (q *Queue) putDone(ref pipeline.Ref, sampleKey string, event []byte, by string, replaces uint64) *Change {
	c := change(q.LedgerSubject(ref), event, replaces, nil)
	c.msg.Header[headerState] = []string{string(JobDone)}
	c.msg.Header[headerSample] = []string{sampleKey}
	if by != "" {
		c.msg.Header[headerBy] = []string{by}
	}
	c.expires(q.topology.ResultsMaxAge)

	return c
}

func (c *Change) expires(after time.Duration) {
	if after >= time.Second {
		c.msg.Header[headerTTL] = []string{after.Truncate(time.Second).String()}
	}
}

// Commit makes changes durable, together where the server syncs its disk. Each is true by itself,
// and has its own condition: where one is refused the others may have been made.
// pipeline.ErrConflict says that a record was at another revision; it is also what a writer gets
// whose first try succeeded without an answer. Changes are sent until they are answered or ctx
// ends.
func (q *Queue) Commit(ctx context.Context, changes ...*Change) error {
	if len(changes) == 0 {
		return nil
	}

	msgs := make([]*nats.Msg, len(changes))
	for i, c := range changes {
		if c.err != nil {
			return c.err
		}
		msgs[i] = c.msg
	}

	return q.insistOn(ctx, q.ledgerCommits, msgs, func(i int, m *message) { changes[i].Revision = m.seq })
}

// ChangeSample applies change to the newest record until the write succeeds. change returns false
// to leave the sample as it is.
func (q *Queue) ChangeSample(ctx context.Context, key string, change func(*pipeline.Sample) bool) (SampleEntry, error) {
	for {
		s, err := q.Sample(ctx, key)
		if err != nil || !change(&s.Sample) {
			return s, err
		}

		c := q.PutSample(s)
		err = q.Commit(ctx, c)
		if err == nil {
			s.Revision = c.Revision
			q.SampleChanged(key)
		}
		if !errors.Is(err, pipeline.ErrConflict) {
			return s, err
		}
		if err := fleet.Sleep(ctx, conflictWait); err != nil {
			return s, err
		}
	}
}

// conflictWait is how long a replica gets to learn what its leader knows.
const conflictWait = 20 * time.Millisecond

// SampleChanged tells the poller that a sample changed for which jobs may wait. It does no harm if
// that gets lost: they are due anyway.
func (q *Queue) SampleChanged(key string) { _ = q.nc.Publish(q.ChangedSubject(), []byte(key)) }
