package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/health"
	"backburn/internal/jets"
	"backburn/pipeline/fleet"
)

// probeTTL is how long the probe record of a process stays in the ledger after it was last written.
const probeTTL = time.Minute

// A stream counts as full if no more than fullBytes or fullMessages are left, or a tenth of its
// limit if that is less. From nearlyFull percent on it counts as nearly full.
const (
	fullBytes    = 256 << 10
	fullMessages = 100
	nearlyFull   = 90 // percent
)

// Writable checks that this process can write: it writes the process's key in the control bucket
// and, for a worker, a probe record in the ledger. It then checks that none of the streams to which
// this process writes is sealed, and that there is room in those that refuse messages when full. It
// returns nil, or a health.Fault that says what to do. It makes a few small requests, and is
// bounded by ctx.
func (s *Streams) Writable(ctx context.Context, member *fleet.Membership, worker bool) error {
	if err := member.Renew(ctx); err != nil {
		return writeFault(s.ControlBucket(), err)
	}
	if worker {
		if d, err := s.js.Conn().RTT(); err == nil { // an error shows in the write
			s.ackLatency.addRoundTrip(time.Now(), d)
		}
		m := nats.NewMsg(s.SampleSubject("probe-" + member.ID()))
		m.Data = []byte("{}")
		began := time.Now()
		if _, err := s.js.PublishMsg(ctx, m, jetstream.WithMsgTTL(probeTTL)); err != nil {
			return writeFault(s.LedgerStream(), err)
		}
		s.ackLatency.add(time.Now(), time.Since(began))
	}

	var warning error
	names := []string{s.JobsStream(), s.LedgerStream(), jets.KeyStream + s.ControlBucket(), jets.ObjectStream + s.FilesBucket()}
	if worker {
		names = append(names, s.ResultsStream(), s.DeadStream())
	}
	for _, name := range names {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			return writeFault(name, err)
		}
		if stream.CachedInfo().Config.Sealed {
			return writeFault(name, jets.Sealed())
		}
		f, ok := fullness(stream.CachedInfo())
		switch {
		case ok && f.State == health.Failed:
			return f
		case ok && warning == nil:
			warning = f
		}
	}

	return warning
}

// fullness returns a fault if a stream that refuses messages when full is full or, otherwise,
// nearly full. ok is false while there is enough room.
func fullness(info *jetstream.StreamInfo) (f health.Fault, ok bool) {
	c, s := info.Config, info.State
	if c.Discard != jetstream.DiscardNew {
		return f, false
	}

	for _, limit := range []struct {
		used, max, margin int64
		what              string
	}{
		{int64(min(s.Bytes, 1<<62)), c.MaxBytes, fullBytes, "bytes"},
		{int64(min(s.Msgs, 1<<62)), c.MaxMsgs, fullMessages, "messages"},
	} {
		if limit.max <= 0 {
			continue
		}
		fault := health.Fault{
			Cause:  health.CauseFull,
			Reason: fmt.Sprintf("stream %s holds %d of %d %s", c.Name, limit.used, limit.max, limit.what),
			Remedy: "`backburn status` shows which jobs wait; more workers or a larger budget reduce them",
		}
		switch {
		case limit.used >= limit.max-min(limit.margin, limit.max/10):
			fault.Reason = "full: " + fault.Reason
			fault.State = health.Failed
			return fault, true
		case limit.used >= limit.max/100*nearlyFull && !ok:
			fault.Reason = "nearly full: " + fault.Reason
			fault.State = health.Degraded
			f = fault
			ok = true
		}
	}

	return f, ok
}

func writeFault(what string, err error) error {
	f := health.Fault{
		Cause:  health.CauseOther,
		Reason: "cannot write " + what + ": " + err.Error(),
		Remedy: jets.Remedy(err),
	}
	switch jets.Classify(err) {
	case jets.Full, jets.Limit:
		f.Cause = health.CauseFull
	case jets.Forbidden:
		f.Cause = health.CauseRefused
	case jets.Gone:
		f.Remedy = "a running worker creates it again within seconds"
	case jets.Unavailable:
		f.Cause = health.CauseTimeout
		f.Remedy = "check that the NATS server runs with JetStream and that the stream has a leader; compare the permissions with `backburn acl`"
	}

	return f
}
