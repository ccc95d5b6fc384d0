package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/backoff"
	"backburn/internal/jets"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
)

// ErrFormat says that the ledger was written by a later version, which this one cannot read.
var ErrFormat = errors.New("the ledger was written by a later version of Backburn")

// ErrMixed says that either this process or the existing fleet uses a simulated WildFire, and the
// other a real one.
var ErrMixed = errors.New("simulated and real work are kept apart")

// Streams creates, checks and repairs the streams and buckets of a topology, and holds their
// handles. It is safe for concurrent use.
type Streams struct {
	Names
	js       jetstream.JetStream
	topology Topology

	// configured says that topology comes from the configuration. Otherwise this process creates
	// and changes no streams.
	configured bool

	jobs    jetstream.Stream
	ledger  jetstream.Stream
	results jetstream.Stream
	dead    jetstream.Stream
	control *fleet.Store
	files   jetstream.ObjectStore

	ackLatency    *ackLatency   // shared by all committers
	ledgerCreated atomic.Int64  // when the ledger was created, in ns since 1970
	oldJobsUntil  atomic.Uint64 // version 1 wrote JOBS up to this sequence
}

func newStreams(js jetstream.JetStream, t Topology) *Streams {
	return &Streams{Names: NamesFor(t.Prefix), js: js, topology: t, ackLatency: newAckLatency(t.Durability)}
}

func (s *Streams) newCommitter() *committer {
	return newCommitter(s.js.Conn(), s.ackLatency, s.recreate)
}

// ErrUnavailable is matched by the error of Open if JetStream is missing, does not become ready in
// time, or refuses a stream because of a limit of the account or server.
var ErrUnavailable = errors.New("JetStream is not available")

// untilAnswered repeats a request until it is answered or ctx ends.
func untilAnswered(ctx context.Context, what string, request func(context.Context) error) error {
	for attempt := 0; ; attempt++ {
		actx, cancel := context.WithTimeout(ctx, min(provisionAttempt<<min(attempt, 4), longestProvisionAttempt))
		err := request(actx)
		cancel()
		if err == nil {
			return nil
		}

		err = jets.Explain(what, err)
		if jets.Is(err, jets.Limit) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if !jets.Is(err, jets.Unavailable) {
			return err
		}
		if pipeline.Sleep(ctx, backoff.Delay(attempt, 200*time.Millisecond, 2*time.Second)) != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// Provision creates missing streams and buckets, and corrects limits that differ from the topology.
// If it cannot correct one of them, it still corrects the others, unless JetStream is unavailable,
// ctx has ended, or real and simulated work would be mixed. It may be repeated at any time.
func (s *Streams) Provision(ctx context.Context) error {
	exists, err := s.checkExisting(ctx)
	if err != nil {
		return err
	}

	var oldJobs uint64
	if !exists {
		if oldJobs, err = s.oldJobs(ctx); err != nil {
			return err
		}
	}

	var failed []error
	for _, c := range append(s.topology.Streams(), s.topology.buckets()...) {
		if c.Name == s.LedgerStream() && oldJobs > 0 {
			c.Metadata[oldJobsKey] = strconv.FormatUint(oldJobs, 10)
		}
		err := untilAnswered(ctx, "stream "+c.Name, func(ctx context.Context) error { return s.provisionStream(ctx, c) })
		if err != nil {
			failed = append(failed, err)
		}
		if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrMixed) || ctx.Err() != nil {
			break
		}
	}

	return errors.Join(failed...)
}

// attach looks up the streams and buckets. It returns ErrNoQueue if one is missing.
func (s *Streams) attach(ctx context.Context) (err error) {
	for _, part := range []struct {
		handle *jetstream.Stream
		name   string
	}{
		{&s.jobs, s.JobsStream()},
		{&s.ledger, s.LedgerStream()},
		{&s.results, s.ResultsStream()},
		{&s.dead, s.DeadStream()},
	} {
		if *part.handle, err = s.js.Stream(ctx, part.name); err != nil {
			return lookupError(s.prefix, "stream "+part.name, err)
		}
	}
	s.recordLedgerInfo(s.ledger.CachedInfo())

	control, err := s.js.KeyValue(ctx, s.ControlBucket())
	if err != nil {
		return lookupError(s.prefix, "bucket "+s.ControlBucket(), err)
	}
	s.control = fleet.NewStore(s.js, control)

	return s.attachFiles(ctx)
}

func (s *Streams) attachFiles(ctx context.Context) (err error) {
	if s.files, err = s.js.ObjectStore(ctx, s.FilesBucket()); err != nil {
		return lookupError(s.prefix, "object bucket "+s.FilesBucket(), err)
	}

	return nil
}

// ErrNoQueue says that the server has no Backburn streams under the prefix.
var ErrNoQueue = errors.New("no Backburn queue")

func lookupError(prefix, part string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("%w under prefix %q (%s is not there): has `backburn run` or `worker` ever started here?",
			ErrNoQueue, prefix, part)
	}
	return fmt.Errorf("%s: %w", part, err)
}

// Repair checks that the streams and buckets exist and have the right limits, and corrects those
// that others removed or changed, because limits that are too narrow drop data. It returns the
// names of those that it created or changed, even if it could not correct the others.
func (s *Streams) Repair(ctx context.Context) ([]string, error) {
	wrong, err := s.wrong(ctx)
	if err != nil || len(wrong) == 0 {
		return nil, err
	}
	if err := s.Provision(ctx); err != nil {
		stillWrong, lookErr := s.wrong(ctx)
		if lookErr != nil {
			return nil, err
		}
		isStillWrong := func(name string) bool { return slices.Contains(stillWrong, name) }
		return slices.DeleteFunc(wrong, isStillWrong), err
	}

	return wrong, nil
}

// wrong returns the names of the streams that are missing or differ from the topology.
func (s *Streams) wrong(ctx context.Context) ([]string, error) {
	var wrong []string
	for _, want := range append(s.topology.Streams(), s.topology.buckets()...) {
		is, err := s.js.Stream(ctx, want.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			wrong = append(wrong, want.Name)
		case err != nil:
			return nil, fmt.Errorf("stream %s: %w", want.Name, err)
		case !matchesConfig(is.CachedInfo().Config, want):
			wrong = append(wrong, want.Name)
		}
	}

	return wrong, nil
}

// provisionStream creates a missing stream, and changes one that does not fit. It makes no request
// to change a stream that fits, so that many workers that start together do not burden the server.
func (s *Streams) provisionStream(ctx context.Context, c jetstream.StreamConfig) error {
	found, err := s.js.Stream(ctx, c.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		found, err = s.js.CreateStream(ctx, c)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			// Another process was faster. Some servers of the cluster may not know the stream yet.
			return &jets.Error{Op: "look up", Class: jets.Unavailable, Err: err}
		}
	}
	if err != nil {
		return err
	}

	is := found.CachedInfo().Config
	if err := checkSimulated(is, isSimulated(c)); err != nil {
		return err
	}
	if !matchesConfig(is, c) {
		if is.Sealed {
			return jets.Sealed()
		}
		if old := is.Metadata[oldJobsKey]; old != "" {
			c.Metadata[oldJobsKey] = old
		}
		if found, err = s.js.UpdateStream(ctx, keepChoices(c, is)); err != nil {
			return err
		}
	}
	if c.Name == s.LedgerStream() {
		s.recordLedgerInfo(found.CachedInfo())
	}

	return nil
}

// checkExisting checks the existing streams before anything is created. It refuses a ledger of a
// later version, streams of a simulation in a real fleet, and real streams in a simulation. exists
// says whether there is a ledger.
func (s *Streams) checkExisting(ctx context.Context) (exists bool, err error) {
	for _, c := range s.topology.Streams() {
		found, err := s.findStream(ctx, c.Name)
		if err != nil {
			return false, err
		}
		if found == nil {
			continue
		}

		is := found.CachedInfo().Config
		if err := checkSimulated(is, s.topology.Simulated); err != nil {
			return false, err
		}
		if c.Name != s.LedgerStream() {
			continue
		}
		exists = true
		if err := checkFormat(is); err != nil {
			return exists, err
		}
	}

	return exists, nil
}

func checkFormat(ledger jetstream.StreamConfig) error {
	if n, _ := strconv.Atoi(ledger.Metadata[formatKey]); n > format {
		return fmt.Errorf("%w: format %d, this version knows %d: update this process", ErrFormat, n, format)
	}

	return nil
}

// isSimulated reports whether a stream belongs to a simulation. A stream from before this marker
// existed is real.
func isSimulated(c jetstream.StreamConfig) bool { return c.Metadata[simulatedKey] == "true" }

// checkSimulated refuses a simulated stream in a real fleet, and a real stream in a simulation:
// otherwise their verdicts would be mixed.
func checkSimulated(c jetstream.StreamConfig, here bool) error {
	switch there := isSimulated(c); {
	case there == here:
		return nil
	case there:
		return fmt.Errorf("%w: stream %s belongs to a simulation, and here WildFire is real: set another nats.prefix, or remove the simulation's streams",
			ErrMixed, c.Name)
	}

	return fmt.Errorf("%w: stream %s belongs to a real fleet, and here WildFire is simulated: set another nats.prefix, or use another NATS server",
		ErrMixed, c.Name)
}

// recordLedgerInfo records when the ledger was created, and which jobs version 1 left in JOBS.
func (s *Streams) recordLedgerInfo(info *jetstream.StreamInfo) {
	n, _ := strconv.ParseUint(info.Config.Metadata[oldJobsKey], 10, 64)
	s.oldJobsUntil.Store(n)
	s.ledgerCreated.Store(info.Created.UnixNano())
}

// oldJobs returns the last sequence of JOBS that version 1 wrote; 0 if there was no version 1.
func (s *Streams) oldJobs(ctx context.Context) (uint64, error) {
	found, err := s.findStream(ctx, s.waitingStream())
	if found == nil || err != nil {
		return 0, err
	}
	jobs, err := s.findStream(ctx, s.JobsStream())
	if jobs == nil || err != nil {
		return 0, err
	}

	return jobs.CachedInfo().State.LastSeq, nil
}

// findStream looks up a stream, and returns nil if it does not exist.
func (s *Streams) findStream(ctx context.Context, name string) (jetstream.Stream, error) {
	var found jetstream.Stream
	err := untilAnswered(ctx, "stream "+name, func(ctx context.Context) error {
		is, err := s.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		found = is
		return err
	})

	return found, err
}

// recreate creates missing streams again if err says that one is missing, and this process knows
// the topology and has the permission.
func (s *Streams) recreate(ctx context.Context, err error) {
	if !s.configured || !errors.Is(err, nats.ErrNoResponders) && !jets.Is(err, jets.Gone) {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, provisionAttempt)
	defer cancel()
	_ = s.Provision(ctx) // the next attempt shows the result
}

// Simulated reports whether WildFire is simulated.
func (s *Streams) Simulated() bool { return s.topology.Simulated }

// CheckSimulated returns ErrMixed unless the caller and the fleet are both simulated or both real.
func (s *Streams) CheckSimulated(simulated bool) error {
	return checkSimulated(s.ledger.CachedInfo().Config, simulated)
}
