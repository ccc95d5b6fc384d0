package queue

import (
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline"
)

// Topology has the settings of the streams and buckets.
type Topology struct {
	Prefix          string        // first subject token
	Domain          string        // the JetStream domain, if the connection is to a leaf node
	Replicas        int           // 1, or 3 on a cluster
	Durability      Durability    // when the server syncs what it acknowledges; the zero value means unknown
	Lease           time.Duration // AckWait of the lanes
	Results         EventLimits   // of the RESULTS stream; MaxAge also holds for records of finished jobs and samples
	Dead            DeadLimits    // of the DEAD stream; a limit of 0 means the default
	Queue           QueueLimits   // of the JOBS and LEDGER streams and the object bucket; a limit of 0 means the default
	Simulated       bool          // WildFire is simulated; never changes for existing streams
	ReportsMaxAge   time.Duration // how long documents about samples are kept; 0: there is no bucket for them
	ReportsMaxBytes int64         // of these documents; the oldest are removed first
}

// Durability says when a NATS server syncs what it acknowledges (sync_always in its configuration).
// It decides whether messages are sent in batches. If it is unknown, it is measured.
type Durability int

// The kinds of durability.
const (
	SyncUnknown Durability = iota
	SyncAlways             // before the acknowledgment
	SyncLater              // after it, at intervals
)

const (
	jobsMaxMsgs = 1_000_000

	// How long the server remembers the IDs of events, to drop repeats. An event that may be
	// repeated later is looked up in RESULTS first.
	dedupeWindow = 10 * time.Minute

	// How long the first attempt of a request waits for the answer, and the most that later
	// attempts wait; the time doubles each time. A cluster leaves some requests unanswered: while
	// there is no leader, or while another process creates the same thing.
	provisionAttempt        = 2 * time.Second
	longestProvisionAttempt = 10 * time.Second

	// formatKey is the stream metadata with the version of the ledger's format.
	formatKey = "backburn.format"
	format    = 2

	// simulatedKey is the stream metadata that marks the streams of a simulation. Streams without
	// it are real.
	simulatedKey = "backburn.simulated"

	// oldJobsKey is the key, in the metadata of the ledger's stream, of the last sequence of JOBS
	// that version 1 wrote.
	oldJobsKey = "backburn.version1_jobs"
)

// dedupe returns how long the server remembers the IDs of events: no longer than it keeps the
// events.
func (t Topology) dedupe() time.Duration {
	if t.Results.MaxAge > 0 {
		return min(dedupeWindow, t.Results.MaxAge)
	}

	return dedupeWindow
}

// Streams returns the streams of a topology. It is their only definition, with subjects and limits.
func (t Topology) Streams() []jetstream.StreamConfig {
	n := NamesFor(t.Prefix)
	dead := t.Dead.orDefaults()

	streams := []jetstream.StreamConfig{
		{
			Name:        n.DeadStream(),
			Description: "jobs that failed, whole, with the reason",
			Subjects:    []string{n.DeadSubject("*", "*")},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			MaxAge:      dead.MaxAge,
			MaxBytes:    dead.MaxBytes,

			// The limit is for each reason and source: however many letters one of them has, they
			// displace no others. DeadLetters.Trim does the same for their bytes.
			MaxMsgsPerSubject: int64(dead.MaxLetters),
			AllowMsgTTL:       true, // letters of expected outcomes expire sooner

			AllowAtomicPublish: true,
		},
		{
			Name:        n.JobsStream(),
			Description: "what was submitted",
			Subjects:    n.jobSubjects(), // messages on other subjects get no acknowledgment
			Retention:   jetstream.WorkQueuePolicy,
			Discard:     jetstream.DiscardNew,
			MaxMsgs:     jobsMaxMsgs,
			MaxBytes:    t.Queue.orDefaults().JobsMaxBytes,

			AllowAtomicPublish: true,

			// A server drops messages whose ID it saw recently, even on another subject, so the
			// publisher of one source could suppress the jobs of another. This check can be off
			// only on a stream that copies messages from another stream (Sources), so this stream
			// copies a subject on which nothing is published. The ledger detects repeats.
			Sources: []*jetstream.StreamSource{{
				Name:          n.DeadStream(),
				FilterSubject: n.DeadSubject("none", "none"),
			}},
		},
		{
			Name:              n.LedgerStream(),
			Description:       "what is known of samples and jobs",
			Subjects:          []string{n.SampleSubject("*"), n.AnyJobRecord()},
			Retention:         jetstream.LimitsPolicy,
			Discard:           jetstream.DiscardNew,
			MaxMsgsPerSubject: 1, // a record replaces the one before
			MaxBytes:          t.Queue.orDefaults().LedgerMaxBytes,
			Metadata:          map[string]string{formatKey: strconv.Itoa(format)},

			// Of these streams, only the ledger allows direct reads: outsiders write to JOBS, and
			// their headers could imitate those that a server adds to a direct read. DEAD may
			// have such headers from version 1.
			AllowDirect: true,

			AllowAtomicPublish: true,
			AllowMsgTTL:        true, // finished records expire; waiting ones do not
		},
		{
			Name:        n.ResultsStream(),
			Description: "events for other services",
			Subjects:    []string{n.prefix + ".results.*.*.*"},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			MaxAge:      t.Results.MaxAge,
			MaxBytes:    t.Results.MaxBytes,
			Duplicates:  t.dedupe(),

			AllowAtomicPublish: true,
		},
	}

	for i := range streams {
		streams[i].Storage = jetstream.FileStorage
		streams[i].Replicas = t.Replicas
		if t.Simulated {
			if streams[i].Metadata == nil {
				streams[i].Metadata = map[string]string{}
			}
			streams[i].Metadata[simulatedKey] = "true"
		}
	}

	return streams
}

func (n Names) jobSubjects() []string {
	var subjects []string
	for _, p := range pipeline.Priorities() {
		subjects = append(subjects, n.JobSubject(p, "*"), n.RequeueSubject(p, "*"))
	}

	return subjects
}

// buckets returns the streams behind the buckets, as the client itself would create them.
func (t Topology) buckets() []jetstream.StreamConfig {
	n := NamesFor(t.Prefix)
	queue := t.Queue.orDefaults()

	control := t.bucket(jets.KeyStream+n.ControlBucket(), "budgets, pauses, live workers", controlMaxBytes, 0,
		jets.KeySubject+n.ControlBucket()+".>")
	control.MaxMsgsPerSubject = 1
	control.AllowMsgTTL = true // this is how dead members expire
	control.SubjectDeleteMarkerTTL = time.Minute
	control.DenyDelete = true

	buckets := []jetstream.StreamConfig{
		control,
		t.objectBucket(n.FilesBucket(), "contents that are not in a message", queue.FilesMaxBytes, queue.FilesMaxAge),
	}
	if t.ReportsMaxAge > 0 {
		buckets = append(buckets, t.objectBucket(n.ReportsBucket(), "WildFire's reports", t.ReportsMaxBytes, t.ReportsMaxAge))
	}

	return buckets
}

func (t Topology) objectBucket(name, description string, maxBytes int64, maxAge time.Duration) jetstream.StreamConfig {
	return t.bucket(jets.ObjectStream+name, description, maxBytes, maxAge, jets.ObjectChunks(name, ">"), jets.ObjectMeta(name, ">"))
}

// bucket returns what all buckets have in common.
func (t Topology) bucket(stream, description string, maxBytes int64, maxAge time.Duration, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        stream,
		Description: description,
		Subjects:    subjects,
		Discard:     jetstream.DiscardNew,
		MaxBytes:    maxBytes,
		MaxAge:      maxAge,
		Storage:     jetstream.FileStorage,
		Replicas:    t.Replicas,
		AllowRollup: true,
		AllowDirect: true,
	}
}

// matchesConfig reports whether a stream has the required limits and access settings, and no
// setting by which messages are dropped, moved or not acknowledged. It allows what an operator may
// choose, such as compression and placement.
func matchesConfig(is, want jetstream.StreamConfig) bool {
	return sameLimit(is.MaxBytes, want.MaxBytes) &&
		is.MaxAge == want.MaxAge &&
		is.Discard == want.Discard &&
		max(is.Replicas, 1) == max(want.Replicas, 1) &&
		sameLimit(is.MaxMsgs, want.MaxMsgs) &&
		sameLimit(is.MaxMsgsPerSubject, want.MaxMsgsPerSubject) &&
		is.MaxMsgSize <= 0 &&
		!is.NoAck &&
		!is.DiscardNewPerSubject &&
		is.SubjectTransform == nil &&
		!is.Sealed &&
		is.MaxConsumers <= 0 &&
		is.ConsumerLimits == (jetstream.StreamConsumerLimits{}) &&
		slices.Equal(is.Subjects, want.Subjects) &&
		(want.Duplicates == 0 || is.Duplicates == want.Duplicates) &&
		(want.SubjectDeleteMarkerTTL == 0 || is.SubjectDeleteMarkerTTL == want.SubjectDeleteMarkerTTL) &&
		(is.AllowDirect || !want.AllowDirect) &&
		(is.AllowRollup || !want.AllowRollup) &&
		(is.AllowAtomicPublish || !want.AllowAtomicPublish) &&
		(is.AllowMsgTTL || !want.AllowMsgTTL) &&
		slices.EqualFunc(is.Sources, want.Sources, sameSource)
}

func sameSource(a, b *jetstream.StreamSource) bool {
	return a.Name == b.Name && a.FilterSubject == b.FilterSubject && len(a.SubjectTransforms) == len(b.SubjectTransforms)
}

// keepChoices copies the settings that an operator may choose for a stream, and those that the
// server does not allow to be reset.
func keepChoices(want, is jetstream.StreamConfig) jetstream.StreamConfig {
	want.Compression = is.Compression
	want.Placement = is.Placement
	want.RePublish = is.RePublish
	want.DenyDelete = is.DenyDelete
	want.DenyPurge = is.DenyPurge

	return want
}

// sameLimit compares two limits; values that are not positive mean no limit.
func sameLimit(a, b int64) bool { return max(a, 0) == max(b, 0) }

// OldStreams are the streams of version 1, which the next start migrates and removes.
func (n Names) OldStreams() []string {
	return []string{n.waitingStream(), jets.KeyStream + n.prefix + "_samples", jets.KeyStream + n.prefix + "_jobs"}
}

func (n Names) waitingStream() string { return n.stream("WAITING") }

// controlMaxBytes bounds the control bucket.
const controlMaxBytes = 16 << 20
