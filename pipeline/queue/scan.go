package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// How many messages of a stream are requested at a time.
const (
	readBatch   = 256  // messages that may be large
	recordBatch = 4096 // records of the ledger, or headers alone
)

// errCutOff says that a server stopped answering before all messages were read.
var errCutOff = errors.New("the server stopped in the middle of its answer")

// readAll iterates over the messages that are in a stream now. It stops after an error. It requests
// batchSize messages at a time. Batches should be large, because each request creates a new
// consumer, and removes the one before.
func readAll(ctx context.Context, s jetstream.Stream, cfg jetstream.OrderedConsumerConfig, batchSize int) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		err := visitAll(ctx, s, cfg, batchSize, func(m *jetstream.RawStreamMsg) bool { return yield(m, nil) })
		if err != nil {
			yield(nil, fmt.Errorf("read stream %s: %w", s.CachedInfo().Config.Name, err))
		}
	}
}

func decodeAll[T any](messages iter.Seq2[*jetstream.RawStreamMsg, error], decode func(*jetstream.RawStreamMsg) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for m, err := range messages {
			var decoded T
			if err == nil {
				decoded = decode(m)
			}
			if !yield(decoded, err) {
				return
			}
		}
	}
}

// visitAll calls visit for the messages of readAll, until it returns false.
func visitAll(ctx context.Context, s jetstream.Stream, cfg jetstream.OrderedConsumerConfig, batchSize int, visit func(*jetstream.RawStreamMsg) bool) error {
	cfg.MaxResetAttempts = 2 // otherwise it would retry forever, even after ctx ends
	c, err := s.OrderedConsumer(ctx, cfg)
	if err != nil {
		return err
	}
	defer removeConsumer(ctx, s, c)

	for ctx.Err() == nil {
		batch, err := c.FetchNoWait(batchSize)
		if err != nil {
			return err
		}

		n := 0
		last, stopped := false, false
		for m := range batch.Messages() {
			if n++; last || stopped {
				continue // drain what was fetched
			}
			raw, meta, err := rawMessage(m)
			if err != nil {
				return err
			}
			last = meta.NumPending == 0
			stopped = !visit(raw)
		}

		switch err := batch.Error(); {
		case stopped:
			return nil
		case err != nil:
			return err
		case n == 0 && c.CachedInfo().NumPending > 0:
			return errCutOff
		case n == 0 || last:
			return nil
		}
	}

	return ctx.Err()
}

// rawMessage returns a message that a consumer delivered, as the stream stores it.
func rawMessage(m jetstream.Msg) (*jetstream.RawStreamMsg, *jetstream.MsgMetadata, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, nil, fmt.Errorf("read message metadata: %w", err)
	}

	return &jetstream.RawStreamMsg{
		Subject:  m.Subject(),
		Sequence: meta.Sequence.Stream,
		Header:   m.Headers(),
		Data:     m.Data(),
		Time:     meta.Timestamp,
	}, meta, nil
}

// removeTimeout bounds the removal of a consumer.
const removeTimeout = 2 * time.Second

// removeConsumer removes an ordered consumer that is no longer used. Otherwise the server would
// keep it for five minutes, and a stream may have only 1,000 consumers by default.
func removeConsumer(ctx context.Context, s jetstream.Stream, c jetstream.Consumer) {
	info := c.CachedInfo()
	if info == nil {
		return
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	_ = s.DeleteConsumer(ctx, info.Name) // if this fails, the server removes it later
}
