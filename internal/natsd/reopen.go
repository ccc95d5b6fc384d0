package natsd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// reopenEvery is how often a store that could not be written is looked at.
const reopenEvery = 2 * time.Second

// reopener opens the store again once it can be written again, for example because the disk was
// full and now has room. JetStream does not do that: after one message that it could not write, it
// refuses all others.
type reopener struct {
	server  *server.Server
	options *server.Options
	logger  *logger
	end     context.CancelFunc
	ended   chan struct{}
}

func startReopener(ns *server.Server, options *server.Options, l *logger) *reopener {
	ctx, end := context.WithCancel(context.Background())
	r := &reopener{
		server:  ns,
		options: options,
		logger:  l,
		end:     end,
		ended:   make(chan struct{}),
	}
	go r.run(ctx)

	return r
}

// stop ends it and waits until it has ended. It may be called more than once.
func (r *reopener) stop() {
	r.end()
	<-r.ended
}

func (r *reopener) run(ctx context.Context) {
	defer close(r.ended)
	tick := time.NewTicker(reopenEvery)
	defer tick.Stop()
	log := r.logger.log.With().Str("store", r.options.StoreDir).Logger()

	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}

		if !r.logger.writeFailed.Load() || tryWrite(r.options.StoreDir) != nil {
			continue
		}
		r.logger.writeFailed.Store(false) // before, because it may fail again at once
		if err := r.reopen(); err != nil {
			r.logger.writeFailed.Store(true)
			log.Error().Err(err).Msg("cannot open the store again; retrying")
			continue
		}
		log.Warn().Msg("the store could not be written for a while; opened it again")
	}
}

// reopen stops JetStream and starts it again, on the same store and for the same connections.
func (r *reopener) reopen() error {
	if err := r.server.ShutdownJetStream(); err != nil {
		return fmt.Errorf("stop JetStream: %w", err)
	}

	err := r.server.EnableJetStream(&server.JetStreamConfig{
		StoreDir:   r.options.StoreDir,
		SyncAlways: r.options.SyncAlways,
		MaxMemory:  r.options.JetStreamMaxMemory,
		MaxStore:   r.options.JetStreamMaxStore,
		Strict:     !r.options.NoJetStreamStrict,
	})
	if err != nil {
		return fmt.Errorf("start JetStream: %w", err)
	}

	return nil
}

// tryWrite checks that the disk of a store has room and can be written.
func tryWrite(dir string) error {
	switch free, err := FreeSpace(dir); {
	case err != nil:
		return err
	case free < minFree:
		return fullDisk(dir, free)
	}

	f, err := os.CreateTemp(dir, "probe-*")
	if err != nil {
		return fmt.Errorf("try to write: %w", err)
	}
	_, err = f.Write(make([]byte, 4<<10))
	if err == nil {
		err = f.Sync()
	}

	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}
