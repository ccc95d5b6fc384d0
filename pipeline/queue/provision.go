package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/backoff"
	"backburn/internal/jets"
	"backburn/pipeline/fleet"
)

// ErrFormat says that the ledger was written by a later version, which this one cannot read.
var ErrFormat = errors.New("the ledger was written by a later version of Backburn")

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
		if fleet.Sleep(ctx, backoff.Delay(attempt, 200*time.Millisecond, 2*time.Second)) != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// Provision creates missing streams and buckets, and corrects limits that differ from the topology.
// It may be repeated at any time.
func (q *Queue) Provision(ctx context.Context) error {
	exists, err := q.check(ctx)
	if err != nil {
		return err
	}

	handles := map[string]*jetstream.Stream{
		q.JobsStream(): &q.jobs, q.LedgerStream(): &q.ledger.stream, q.ResultsStream(): &q.results, q.DeadStream(): &q.dead.stream,
	}
	var oldJobs uint64
	if !exists {
		if oldJobs, err = q.oldJobs(ctx); err != nil {
			return err
		}
	}
	for _, c := range q.topology.Streams() {
		if c.Name == q.LedgerStream() && oldJobs > 0 {
			c.Metadata[oldJobsKey] = strconv.FormatUint(oldJobs, 10)
		}
		err := untilAnswered(ctx, "stream "+c.Name, func(ctx context.Context) error {
			s, err := q.provisionStream(ctx, c)
			if err == nil && *handles[c.Name] == nil {
				*handles[c.Name] = s
			}
			if err == nil && c.Name == q.LedgerStream() {
				q.recordLedgerInfo(s.CachedInfo())
			}
			return err
		})
		if err != nil {
			return err
		}
	}

	err = untilAnswered(ctx, "bucket "+q.ControlBucket(), func(ctx context.Context) error {
		kv, err := q.js.CreateOrUpdateKeyValue(ctx, q.topology.control())
		if err == nil && q.control == nil {
			q.control = kv
		}
		return err
	})
	if err != nil {
		return err
	}

	err = untilAnswered(ctx, "object bucket "+q.FilesBucket(), func(ctx context.Context) error {
		files, err := q.js.CreateOrUpdateObjectStore(ctx, q.topology.files())
		if err == nil && q.files == nil {
			q.files = files
		}
		return err
	})
	if err != nil {
		return err
	}

	reports, kept := q.topology.reports()
	if !kept {
		return nil
	}

	return untilAnswered(ctx, "object bucket "+reports.Bucket, func(ctx context.Context) error {
		_, err := q.js.CreateOrUpdateObjectStore(ctx, reports)
		return err
	})
}

// provisionStream creates a missing stream, and changes one that does not fit. It leaves a stream
// that fits alone, so that many workers that start together do not burden the server.
func (q *Queue) provisionStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := q.js.Stream(ctx, c.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = q.js.CreateStream(ctx, c)
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return s, err
		}
		// Another process was faster. Not every server of the cluster may know the stream yet.
		if s, err = q.js.Stream(ctx, c.Name); errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, &jets.Error{Op: "look up", Class: jets.Unavailable, Err: err}
		}
	}
	if err != nil {
		return s, err
	}
	if err := q.topology.checkMark(s.CachedInfo().Config); err != nil {
		return nil, err
	}
	if matchesConfig(s.CachedInfo().Config, c) {
		return s, nil
	}
	if old := s.CachedInfo().Config.Metadata[oldJobsKey]; old != "" {
		c.Metadata[oldJobsKey] = old
	}

	return q.js.UpdateStream(ctx, c)
}

// check refuses a ledger of a later version, streams of a simulation in a real fleet, and real
// streams in a simulation, before anything is created. exists says whether there is a ledger.
func (q *Queue) check(ctx context.Context) (exists bool, err error) {
	for _, c := range q.topology.Streams() {
		s, err := q.findStream(ctx, c.Name)
		if err != nil {
			return false, err
		}
		if s == nil {
			continue
		}

		is := s.CachedInfo().Config
		if err := q.topology.checkMark(is); err != nil {
			return false, err
		}
		if c.Name != q.LedgerStream() {
			continue
		}
		exists = true
		if err := checkFormat(is); err != nil {
			return exists, err
		}
	}

	return exists, nil
}

// checkFormat refuses a ledger of a later version.
func checkFormat(ledger jetstream.StreamConfig) error {
	if n, _ := strconv.Atoi(ledger.Metadata[formatKey]); n > format {
		return fmt.Errorf("%w: format %d, this version knows %d: update this process", ErrFormat, n, format)
	}

	return nil
}

// recordLedgerInfo records when the ledger was created, and which jobs version 1 left in JOBS.
func (q *Queue) recordLedgerInfo(info *jetstream.StreamInfo) {
	n, _ := strconv.ParseUint(info.Config.Metadata[oldJobsKey], 10, 64)
	q.oldJobsUntil.Store(n)
	q.ledgerCreated.Store(info.Created.UnixNano())
}

// oldJobs returns the last sequence of JOBS that version 1 wrote; 0 if there was no version 1.
func (q *Queue) oldJobs(ctx context.Context) (uint64, error) {
	found, err := q.findStream(ctx, q.waitingStream())
	if found == nil || err != nil {
		return 0, err
	}
	jobs, err := q.findStream(ctx, q.JobsStream())
	if jobs == nil || err != nil {
		return 0, err
	}

	return jobs.CachedInfo().State.LastSeq, nil
}

// findStream looks up a stream, and returns nil if it does not exist.
func (q *Queue) findStream(ctx context.Context, name string) (jetstream.Stream, error) {
	var found jetstream.Stream
	err := untilAnswered(ctx, "stream "+name, func(ctx context.Context) error {
		s, err := q.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		found = s
		return err
	})

	return found, err
}
