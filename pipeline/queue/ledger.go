package queue

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/results"
)

// The ledger is one stream, which keeps only the last message of each subject:
//
//	<prefix>.ledger.sample.<sample key>     what is known about contents: a pipeline.Sample
//	<prefix>.ledger.job.<source>.<job key>  what became of a job: accepted, waiting, then done
//
// A change names the sequence that it replaces, so of many writers one succeeds. Finished records
// expire with the results; waiting ones stay.

// JobState is the state of a job in the ledger.
type JobState string

// The states of a job. Until a worker has read a job, it has no record, unless it was submitted
// over HTTP.
const (
	JobAccepted JobState = "accepted" // submitted over HTTP, with the hash of its contents
	JobWaiting  JobState = "waiting"  // it waits for its sample, or is parked; the record holds the whole job with all that was learned
	JobDone     JobState = "done"     // it has its one final event
)

// Headers of the ledger's records of jobs.
const (
	headerState    = "Backburn-State"
	headerSample   = "Backburn-Sample"   // the sample's key
	headerPriority = "Backburn-Priority" // waiting: the job's priority
	headerPending  = "Backburn-Pending"  // waiting: since when WildFire has had the sample, in ns since 1970
	headerParked   = "Backburn-Parked"   // waiting: the budget for which it waits
	headerBy       = "Backburn-By"       // done: the term of the leader that ended it
)

// JobHeader is the header of a job's record.
type JobHeader struct {
	Name     string // name of the record: <source>.<job key>, the end of its subject
	Source   string
	Revision uint64    // 0: there is none
	Time     time.Time // when it was written
	State    JobState
	Sample   string            // the sample's key
	Priority pipeline.Priority // of JobWaiting
	Pending  time.Time         // of JobWaiting: since when WildFire has had the sample; zero: not at all
	Parked   pipeline.Budget   // of JobWaiting: the budget that it waits for, or ""
	By       string            // of JobDone: the term of the leader that ended it; "" if a worker did
}

// JobEntry is a job's whole record.
type JobEntry struct {
	JobHeader
	Event   results.Event // of JobDone
	Message *Message      // of JobWaiting
}

// HasOtherSample reports whether the record belongs to a job with another sample: then the source
// has used the job ID twice.
func (j JobEntry) HasOtherSample(sample string) bool {
	switch {
	case j.State == "", j.Sample == sample, j.Sample == "":
		return false
	case j.State == JobDone && j.Event.Data.SHA256 == "" && j.Event.Data.URL == "":
		return false // it ended before its contents were known
	}

	return true
}

// SampleEntry is a sample's record.
type SampleEntry struct {
	Key      string
	Revision uint64 // 0: there is none
	pipeline.Sample
}

// Ledger reads and writes what is known of samples and jobs. It is safe for concurrent use.
type Ledger struct {
	streams *Streams
	commits *committer
	reads   *reader
	written writeCache
	finals  finals

	// NoRead says that this process may not read the ledger, so only the leader is asked about
	// waiting jobs. Set it before the queue is used.
	NoRead bool
}

// Load reads a job and its sample at the same time. An empty key stands for no sample.
func (l *Ledger) Load(ctx context.Context, sampleKey string, ref pipeline.Ref) (SampleEntry, JobEntry, error) {
	if sampleKey == "" {
		j, err := l.Job(ctx, ref)
		return SampleEntry{}, j, err
	}

	msgs, err := l.reads.last(ctx, l.streams.JobRecordSubject(ref), l.streams.SampleSubject(sampleKey))
	if err != nil {
		return SampleEntry{Key: sampleKey}, JobEntry{}, err
	}

	return readSampleEntry(sampleKey, msgs[1]), l.streams.jobEntry(msgs[0]), nil
}

// Sample reads a sample.
func (l *Ledger) Sample(ctx context.Context, key string) (SampleEntry, error) {
	msgs, err := l.reads.last(ctx, l.streams.SampleSubject(key))
	if err != nil {
		return SampleEntry{Key: key}, err
	}

	return readSampleEntry(key, msgs[0]), nil
}

// PendingSample returns the last record that this process wrote of a sample, if the sample was
// pending in it. Otherwise it reads the record. A sample that is returned as pending may have
// changed since, so it may only be used for a change of this sample; see pipeline.ErrConflict.
func (l *Ledger) PendingSample(ctx context.Context, key string) (SampleEntry, error) {
	if r := l.written.get(l.streams.SampleSubject(key)); r != nil {
		return SampleEntry{Key: key, Revision: r.revision, Sample: r.sample}, nil
	}

	return l.Sample(ctx, key)
}

// Job reads a job's record.
func (l *Ledger) Job(ctx context.Context, ref pipeline.Ref) (JobEntry, error) {
	return l.ReadJob(ctx, recordName(ref))
}

// ReadJob reads a job's record by its name.
func (l *Ledger) ReadJob(ctx context.Context, name string) (JobEntry, error) {
	msgs, err := l.reads.last(ctx, l.streams.recordSubject(name))
	if err != nil {
		return JobEntry{}, err
	}

	return l.streams.jobEntry(msgs[0]), nil
}

// readSampleEntry decodes a record; nil stands for none. An unreadable one counts as empty, and the
// next change overwrites it.
func readSampleEntry(key string, m *jetstream.RawStreamMsg) SampleEntry {
	s := SampleEntry{Key: key}
	if m == nil {
		return s
	}

	s.Revision = m.Sequence
	if json.Unmarshal(m.Data, &s.Sample) != nil {
		s.Sample = pipeline.Sample{}
	}

	return s
}

func (n Names) jobHeader(m *jetstream.RawStreamMsg) JobHeader {
	h := m.Header
	r := JobHeader{
		Name:     strings.TrimPrefix(m.Subject, n.recordSubject("")),
		Revision: m.Sequence,
		Time:     m.Time.UTC(),
		State:    JobState(h.Get(headerState)),
		Sample:   h.Get(headerSample),
		Priority: pipeline.Priority(h.Get(headerPriority)),
		Parked:   pipeline.Budget(h.Get(headerParked)),
		By:       h.Get(headerBy),
	}
	r.Source, _, _ = strings.Cut(r.Name, ".")
	if ns, err := strconv.ParseInt(h.Get(headerPending), 10, 64); err == nil {
		r.Pending = time.Unix(0, ns).UTC()
	}

	return r
}

// jobEntry decodes a record; nil stands for none. An unreadable one counts as missing, and the next
// change overwrites it.
func (n Names) jobEntry(m *jetstream.RawStreamMsg) JobEntry {
	if m == nil {
		return JobEntry{}
	}

	j := JobEntry{JobHeader: n.jobHeader(m)}
	var err error
	switch j.State {
	case JobDone:
		err = j.Event.UnmarshalJSON(m.Data)
	case JobWaiting:
		var msg Message
		msg, err = decodeMessage(m)
		j.Message = &msg
	}
	if err != nil {
		return JobEntry{JobHeader: JobHeader{Revision: m.Sequence}}
	}

	return j
}

// Change replaces one record of the ledger.
type Change struct {
	msg     *nats.Msg
	err     error
	written *writtenRecord // nil if it is not cached

	Revision uint64 // after a successful Commit: the revision of the new record
}

func change(subject string, body []byte, replaces uint64, err error) *Change {
	m := nats.NewMsg(subject)
	m.Data = body
	m.Header[headerExpect] = []string{strconv.FormatUint(replaces, 10)}

	return &Change{msg: m, err: err}
}

// SampleUpdate returns the change that replaces a sample's record if its revision has not changed.
// It writes nothing: Commit does, for this and all other changes.
func (l *Ledger) SampleUpdate(s SampleEntry) *Change {
	body, err := json.Marshal(s.Sample)
	c := change(l.streams.SampleSubject(s.Key), body, s.Revision, err)
	if s.State == pipeline.StatePending {
		c.written = &writtenRecord{sample: s.Sample}
	}
	if s.Final() || s.State == pipeline.StateNone {
		c.expires(l.streams.topology.Results.MaxAge)
	}

	return c
}

// Waiting says why a job waits.
type Waiting struct {
	Sample  string          // the sample's key
	Basis   results.Basis   // the basis of the verdict that the job will get
	Pending time.Time       // since when WildFire has had the sample; zero: not at all
	Parked  pipeline.Budget // the budget that it waits for, or ""
}

// WaitingUpdate returns the change that replaces a job's record by the whole waiting job.
func (l *Ledger) WaitingUpdate(m *Message, why Waiting, replaces uint64) *Change {
	m.Basis = why.Basis
	c := l.jobUpdate(m.Job.Ref(), JobWaiting, why.Sample, nil, replaces)
	c.err = m.encode(c.msg)
	if !m.Raw {
		kept := *m
		c.written = &writtenRecord{waiting: &kept}
	}

	h := c.msg.Header
	h[headerPriority] = []string{string(m.Job.Priority)}
	if !why.Pending.IsZero() {
		h[headerPending] = []string{strconv.FormatInt(why.Pending.UnixNano(), 10)}
	}
	if why.Parked != "" {
		h[headerParked] = []string{string(why.Parked)}
	}

	return c
}

// jobUpdate returns the change that replaces a job's record. The new record expires unless the job
// waits.
func (l *Ledger) jobUpdate(ref pipeline.Ref, state JobState, sampleKey string, body []byte, replaces uint64) *Change {
	c := change(l.streams.JobRecordSubject(ref), body, replaces, nil)
	c.msg.Header[headerState] = []string{string(state)}
	c.msg.Header[headerSample] = []string{sampleKey}
	if state != JobWaiting {
		c.expires(l.streams.topology.Results.MaxAge)
	}

	return c
}

func (c *Change) expires(after time.Duration) {
	if after >= time.Second {
		c.msg.Header[headerTTL] = []string{after.Truncate(time.Second).String()}
	}
}

// Commit makes changes durable, in one batch if that is faster. Each change has its own condition
// and is valid by itself: if one is refused, the others may still have been made. It returns
// pipeline.ErrConflict if a record had another revision, or if an earlier attempt of this call
// succeeded but the answer was lost. Commit repeats changes until the server answers or ctx ends.
func (l *Ledger) Commit(ctx context.Context, changes ...*Change) error {
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

	seqs, err := l.commits.publish(ctx, msgs...)
	for i, c := range changes {
		c.Revision = seqs[i]
		if err != nil || c.written == nil || len(c.msg.Data) > maxCachedBytes {
			l.written.forget(c.msg.Subject)
			continue
		}
		c.written.revision = c.Revision
		l.written.put(c.msg.Subject, c.written)
	}

	return err
}

// ChangeSample applies change to the newest record until the write succeeds. change returns false
// to leave the sample as it is.
func (l *Ledger) ChangeSample(ctx context.Context, key string, change func(*pipeline.Sample) bool) (SampleEntry, error) {
	for {
		s, err := l.Sample(ctx, key)
		if err != nil || !change(&s.Sample) {
			return s, err
		}

		c := l.SampleUpdate(s)
		err = l.Commit(ctx, c)
		if err == nil {
			s.Revision = c.Revision
			l.NotifySampleChanged(key)
		}
		if !errors.Is(err, pipeline.ErrConflict) {
			return s, err
		}
		if err := pipeline.Sleep(ctx, conflictWait); err != nil {
			return s, err
		}
	}
}

// conflictWait is how long to wait for a replica to catch up with its leader.
const conflictWait = 20 * time.Millisecond

// NotifySampleChanged notifies the poller of a change to a sample for which jobs may wait. A lost
// notification does no harm, because the poller also checks the jobs at intervals.
func (l *Ledger) NotifySampleChanged(key string) {
	_ = l.streams.js.Conn().Publish(l.streams.ChangedSubject(), []byte(key))
}
