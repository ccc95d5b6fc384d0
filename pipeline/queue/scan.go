package queue

import (
	"context"
	"errors"
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

// readAll visits the messages that are in a stream now, until visit returns false. It requests
// batchSize messages at a time. Batches should be large, because each request creates a new
// consumer, and removes the one before.
func readAll(ctx context.Context, s jetstream.Stream, cfg jetstream.OrderedConsumerConfig, batchSize int, visit func(jetstream.Msg, *jetstream.MsgMetadata) bool) error {
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
		n, last := 0, false
		for m := range batch.Messages() {
			n++
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if last = last || !visit(m, meta); last {
				continue // drain what was fetched
			}
			last = meta.NumPending == 0
		}
		if err := batch.Error(); err != nil {
			return err
		}
		if n == 0 && c.CachedInfo().NumPending > 0 {
			return errCutOff
		}
		if n == 0 || last {
			return nil
		}
	}
	return ctx.Err()
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
