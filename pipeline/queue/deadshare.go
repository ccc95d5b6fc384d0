package queue

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
)

// The server drops the oldest messages of a full DEAD stream, from any source, so one source could
// displace the dead letters of all others. Before the stream is full, letters beyond their source's
// share are removed.
const (
	deadTrimAbove = 0.75 // letters are removed if the stream has more than this part of its byte limit
	deadTrimTo    = 0.5  // part of the byte limit that letters have after that, at most
	deadCheckPart = 16   // a process checks each time it has written a 16th of the byte limit
)

// msgSizeHeader is the header with the size of the body, in bytes, of a message that the server
// delivers without it.
const msgSizeHeader = "Nats-Msg-Size"

// recordWritten records that this process has written a dead letter of size bytes. After a certain
// number of bytes it calls Trim.
func (d *DeadLetters) recordWritten(ctx context.Context, size int) {
	limit := d.streams.topology.Dead.orDefaults().MaxBytes
	if d.bytesSinceTrim.Add(int64(size)) < limit/deadCheckPart {
		return
	}
	if !d.trimming.TryLock() {
		return // another goroutine is doing it
	}
	defer d.trimming.Unlock()
	d.bytesSinceTrim.Store(0)
	_, _ = d.Trim(ctx) // the letter is kept; the leader tries again and logs the error
}

// Trim removes the oldest dead letters of sources with more than their share if the stream is
// fuller than deadTrimAbove. It returns those sources.
func (d *DeadLetters) Trim(ctx context.Context) ([]string, error) {
	s, err := d.streams.js.Stream(ctx, d.streams.DeadStream())
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", d.streams.DeadStream(), err)
	}
	limit := s.CachedInfo().Config.MaxBytes
	if used := s.CachedInfo().State.Bytes; limit <= 0 || float64(used) < deadTrimAbove*float64(limit) {
		return nil, nil
	}

	type letter struct {
		seq  uint64
		size int64
	}
	letters := map[string][]letter{}
	bytes := map[string]int64{}
	for m, err := range readAll(ctx, s, jetstream.OrderedConsumerConfig{HeadersOnly: true}, recordBatch) {
		if err != nil {
			return nil, err
		}
		source := lastToken(m.Subject)
		size, _ := strconv.ParseInt(m.Header.Get(msgSizeHeader), 10, 64)
		for k, v := range m.Header {
			size += int64(headerBytes(k, v))
		}
		letters[source] = append(letters[source], letter{m.Sequence, size})
		bytes[source] += size
	}

	var trimmed []string
	most := pipeline.EqualShare(bytes, int64(deadTrimTo*float64(limit)))
	for source, all := range letters {
		over := bytes[source] - most
		if over <= 0 {
			continue
		}
		for i := 0; i < len(all) && over > 0; i++ {
			if err := d.remove(ctx, all[i].seq); err != nil {
				return trimmed, err
			}
			over -= all[i].size
		}
		trimmed = append(trimmed, source)
	}

	return trimmed, nil
}
