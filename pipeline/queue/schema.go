package queue

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
)

// Topology is what the streams and buckets are made with.
type Topology struct {
	Prefix          string        // first subject token
	Domain          string        // the JetStream domain, where the connection is one to a leaf node
	Replicas        int           // 1, or 3 on a cluster
	Lease           time.Duration // AckWait of the lanes
	ResultsMaxAge   time.Duration // how long events, and the memory of jobs and samples, are kept
	ResultsMaxBytes int64         // of the RESULTS stream
	JobsMaxBytes    int64         // of the JOBS stream, beyond which it pushes back; defaults to 2 GiB
	LedgerMaxBytes  int64         // of the LEDGER stream, likewise; defaults to 2 GiB
	DeadMaxAge      time.Duration // how long dead letters are kept that need a person; defaults to 90 days
	DeadExpectedAge time.Duration // how long those of expected outcomes are kept; defaults to 7 days
	DeadMaxLetters  int64         // of one reason and source: beyond it the oldest go; defaults to 10,000
	DeadMaxBytes    int64         // of the DEAD stream, likewise; defaults to 512 MiB
	FilesMaxBytes   int64         // of contents that travel; defaults to 4 GiB
	Simulated       bool          // a simulated WildFire judges; never changes for streams that are there
	ReportsMaxAge   time.Duration // how long documents about samples are kept; 0: there is no bucket for them
	ReportsMaxBytes int64         // of them; the oldest go first
}

// The defaults of Topology's bounds.
const (
	DefaultJobsMaxBytes    int64 = 2 << 30
	DefaultLedgerMaxBytes  int64 = 2 << 30
	DefaultDeadMaxBytes    int64 = 512 << 20
	DefaultFilesMaxBytes   int64 = 4 << 30
	DefaultDeadMaxLetters  int64 = 10_000
	DefaultDeadMaxAge            = 90 * 24 * time.Hour
	DefaultDeadExpectedAge       = 7 * 24 * time.Hour
)

const (
	jobsMaxMsgs = 1_000_000

	// The server remembers the ids of events for so long. It is the first filter alone: what was
	// published is known from the ledger.
	dedupeWindow = 10 * time.Minute

	// Contents that nobody came for are dropped after so long, whatever happened.
	filesMaxAge = 14 * 24 * time.Hour

	// A cluster leaves some requests without an answer: those that reach no leader, and those for
	// what another process creates at the same moment. They are made again after so long at
	// first, and after longer each time, apart from those of others.
	provisionAttempt        = 2 * time.Second
	longestProvisionAttempt = 10 * time.Second

	// formatKey is the stream metadata that says which version of the format the ledger has.
	formatKey = "backburn.format"
	format    = 2

	// simulatedKey is the stream metadata that marks the streams of a simulation. Streams without
	// it are real.
	simulatedKey = "backburn.simulated"

	// oldJobsKey is the stream metadata of the ledger with the last sequence of JOBS that version 1
	// wrote.
	oldJobsKey = "backburn.version1_jobs"
)

// dedupe is how long the server remembers the ids of events: no longer than the events themselves.
func (t Topology) dedupe() time.Duration {
	if t.ResultsMaxAge > 0 {
		return min(dedupeWindow, t.ResultsMaxAge)
	}

	return dedupeWindow
}

// Streams returns the streams of a topology. It is the one place that says which there are, on
// which subjects, and within which bounds.
func (t Topology) Streams() []jetstream.StreamConfig {
	n := NamesFor(t.Prefix)

	streams := []jetstream.StreamConfig{
		{
			Name:        n.DeadStream(),
			Description: "jobs that failed, whole, with the reason",
			Subjects:    []string{n.DeadSubject("*", "*")},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			MaxAge:      cmp.Or(t.DeadMaxAge, DefaultDeadMaxAge),
			MaxBytes:    cmp.Or(t.DeadMaxBytes, DefaultDeadMaxBytes),

			// A subject is a reason and a source: no reason and no source displaces another's
			// letters.
			MaxMsgsPerSubject: cmp.Or(t.DeadMaxLetters, DefaultDeadMaxLetters),
			AllowMsgTTL:       true, // those of expected outcomes go sooner

			AllowAtomicPublish: true,
		},
		{
			Name:        n.JobsStream(),
			Description: "what was submitted",
			Subjects:    n.jobSubjects(), // what is published elsewhere is not acknowledged
			Retention:   jetstream.WorkQueuePolicy,
			Discard:     jetstream.DiscardNew,
			MaxMsgs:     jobsMaxMsgs,
			MaxBytes:    cmp.Or(t.JobsMaxBytes, DefaultJobsMaxBytes),

			AllowAtomicPublish: true,

			// A server drops messages whose id it saw lately, whichever subject they came on, so
			// one source could suppress the jobs of another. That cannot be switched off but for
			// streams with a source; this one's never has a message. The ledger knows repeats.
			Sources: []*jetstream.StreamSource{{
				Name:          n.DeadStream(),
				FilterSubject: n.DeadSubject("none", "none"),
			}},
		},
		{
			Name:              n.LedgerStream(),
			Description:       "what is known of samples and jobs",
			Subjects:          []string{n.SampleSubject("*"), n.AnyLedgerJob()},
			Retention:         jetstream.LimitsPolicy,
			Discard:           jetstream.DiscardNew,
			MaxMsgsPerSubject: 1, // a record replaces the one before
			MaxBytes:          cmp.Or(t.LedgerMaxBytes, DefaultLedgerMaxBytes),
			Metadata:          map[string]string{formatKey: strconv.Itoa(format)},

			// The others hold messages of outsiders, whose headers could pass for those that a
			// server adds to what is read directly.
			AllowDirect: true,

			AllowAtomicPublish: true,
			AllowMsgTTL:        true, // what is over expires; what waits does not
		},
		{
			Name:        n.ResultsStream(),
			Description: "events for other services",
			Subjects:    []string{n.prefix + ".results.*.*.*"},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			MaxAge:      t.ResultsMaxAge,
			MaxBytes:    t.ResultsMaxBytes,
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

// jobSubjects are those of all lanes.
func (n Names) jobSubjects() []string {
	var subjects []string
	for _, p := range pipeline.Priorities() {
		subjects = append(subjects, n.JobSubject(p, "*"), n.RequeueSubject(p, "*"))
	}

	return subjects
}

// control is the bucket in which the fleet agrees.
func (t Topology) control() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket:         NamesFor(t.Prefix).ControlBucket(),
		Description:    "budgets, pauses, live workers",
		Storage:        jetstream.FileStorage,
		Replicas:       t.Replicas,
		LimitMarkerTTL: time.Minute,
		MaxBytes:       controlMaxBytes,
	}
}

// files is the bucket of contents that travel.
func (t Topology) files() jetstream.ObjectStoreConfig {
	return jetstream.ObjectStoreConfig{
		Bucket:      NamesFor(t.Prefix).FilesBucket(),
		Description: "contents that travel",
		TTL:         filesMaxAge,
		MaxBytes:    cmp.Or(t.FilesMaxBytes, DefaultFilesMaxBytes),
		Storage:     jetstream.FileStorage,
		Replicas:    t.Replicas,
	}
}

// reports is the bucket of documents about samples, where they are kept at all.
func (t Topology) reports() (jetstream.ObjectStoreConfig, bool) {
	return jetstream.ObjectStoreConfig{
		Bucket:      NamesFor(t.Prefix).ReportsBucket(),
		Description: "WildFire's reports",
		TTL:         t.ReportsMaxAge,
		MaxBytes:    t.ReportsMaxBytes,
		Storage:     jetstream.FileStorage,
		Replicas:    t.Replicas,
	}, t.ReportsMaxAge > 0
}

// objectBucket is what is relied on of the stream behind an object bucket.
func objectBucket(c jetstream.ObjectStoreConfig) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        "OBJ_" + c.Bucket,
		Subjects:    []string{"$O." + c.Bucket + ".C.>", "$O." + c.Bucket + ".M.>"},
		Discard:     jetstream.DiscardNew,
		MaxAge:      c.TTL,
		MaxBytes:    c.MaxBytes,
		Replicas:    c.Replicas,
		AllowRollup: true,
	}
}

// buckets returns what is relied on of the streams behind the buckets, as the client makes them.
func (t Topology) buckets() []jetstream.StreamConfig {
	kv := t.control()
	buckets := []jetstream.StreamConfig{
		{
			Name:              "KV_" + kv.Bucket,
			Subjects:          []string{"$KV." + kv.Bucket + ".>"},
			Discard:           jetstream.DiscardNew,
			MaxMsgsPerSubject: 1,
			MaxBytes:          kv.MaxBytes,
			Replicas:          kv.Replicas,
			AllowRollup:       true,
			AllowDirect:       true,
			AllowMsgTTL:       true, // members that died are forgotten by it
		},
		objectBucket(t.files()),
	}
	if c, kept := t.reports(); kept {
		buckets = append(buckets, objectBucket(c))
	}

	return buckets
}

// fits reports whether a stream keeps what it has to, and is read and written as it has to be.
func fits(is, want jetstream.StreamConfig) bool {
	return is.MaxBytes == want.MaxBytes &&
		is.MaxAge == want.MaxAge &&
		is.Discard == want.Discard &&
		max(is.Replicas, 1) == max(want.Replicas, 1) &&
		sameLimit(is.MaxMsgs, want.MaxMsgs) &&
		sameLimit(is.MaxMsgsPerSubject, want.MaxMsgsPerSubject) &&
		is.MaxMsgSize <= 0 &&
		slices.Equal(is.Subjects, want.Subjects) &&
		(want.Duplicates == 0 || is.Duplicates == want.Duplicates) &&
		(is.AllowDirect || !want.AllowDirect) &&
		(is.AllowRollup || !want.AllowRollup) &&
		(is.AllowAtomicPublish || !want.AllowAtomicPublish) &&
		(is.AllowMsgTTL || !want.AllowMsgTTL) &&
		slices.EqualFunc(is.Sources, want.Sources, func(a, b *jetstream.StreamSource) bool { return a.Name == b.Name })
}

// sameLimit compares limits, of which those that are not positive mean none.
func sameLimit(a, b int64) bool { return max(a, 0) == max(b, 0) }

// OldStreams are the streams of version 1 that a start carries over and removes.
func (n Names) OldStreams() []string {
	return []string{n.waitingStream(), "KV_" + n.samplesBucket(), "KV_" + n.jobsBucket()}
}

func (n Names) waitingStream() string { return n.stream("WAITING") }

func (n Names) samplesBucket() string { return n.prefix + "_samples" }

func (n Names) jobsBucket() string { return n.prefix + "_jobs" }

// controlMaxBytes bounds the bucket in which the fleet agrees.
const controlMaxBytes = 16 << 20
