// Package natsd runs the NATS server that `backburn run` starts in its own process.
//
// It listens only on a loopback address, requires a token that it creates once and keeps next to
// its store, and keeps JetStream in files. With sync_always an acknowledged message is on the disk.
// Two servers on one store would silently destroy it, so the store is locked. It may use only a
// part of the disk, and CheckSpace warns early. A store that could not be written is opened again
// once it can be.
package natsd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/config"
	"backburn/internal/health"
	"backburn/internal/natsconn"
)

// Server is a running server.
type Server struct {
	server   *server.Server
	lock     *flock.Flock
	cfg      natsconn.Config
	token    auth.Secret
	maxStore config.Size
	logger   *logger
	reopener *reopener
}

// Start starts the server of the configuration and waits until it accepts connections and has
// recovered its streams, for at most a minute, or until ctx ends. Port 0 in nats.url means any free
// port. If it fails, it undoes what it has begun, except for the folder and the token.
func Start(ctx context.Context, cfg config.Config, log zerolog.Logger) (_ *Server, err error) {
	host, port, err := listenAddress(cfg)
	if err != nil {
		return nil, err
	}

	dir := cfg.NATS.Embedded.StoreDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("nats.embedded.store_dir: %w", err)
	}

	lock, err := lockStore(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = lock.Unlock()
		}
	}()
	maxStore, err := capacity(dir)
	if err != nil {
		return nil, err
	}

	token, err := loadOrCreateToken(cfg.NATS.Embedded.TokenFile())
	if err != nil {
		return nil, err
	}

	options := &server.Options{
		ServerName:             "backburn",
		Host:                   host,
		Port:                   port,
		Authorization:          token.Reveal(),
		MaxPayload:             maxPayload,
		JetStream:              true,
		StoreDir:               dir,
		SyncAlways:             cfg.NATS.Embedded.SyncAlways,
		JetStreamMaxStore:      maxStore.Bytes(),
		JetStreamMaxMemory:     maxMemory,
		DisableJetStreamBanner: true,
		NoSigs:                 true, // the process handles signals
	}
	ns, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("embedded nats server: %w", err)
	}

	logger := newLogger(log)
	ns.SetLoggerV2(logger, false, false, false)
	started := make(chan struct{})
	go func() {
		defer close(started)
		ns.Start() // returns once everything is recovered and the server listens
	}()
	err = ready(ctx, ns, logger)
	if err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
	}

	<-started
	if err != nil {
		return nil, explain(err, cfg.NATS)
	}

	s := &Server{
		server:   ns,
		lock:     lock,
		token:    token,
		maxStore: maxStore,
		cfg:      clientOf(ns, cfg.NATS),
		logger:   logger,
		reopener: startReopener(ns, options, logger),
	}
	log.Info().Str("url", s.cfg.URL).Str("store", dir).Stringer("max_store", maxStore).Msg("nats server is up")

	return s, nil
}

// listenAddress returns the address at which the server listens.
func listenAddress(cfg config.Config) (host string, port int, err error) {
	if host, port, err = cfg.NATS.EmbeddedAddress(); err != nil {
		return "", 0, cfg.Problem("nats.url", "expected %s", err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}

	return host, port, nil
}

// lockStore takes the lock that prevents a second server on the store. The kernel releases it when
// the process ends, in whatever way.
func lockStore(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, "backburn.lock"), flock.SetPermissions(0o600))
	switch ok, err := lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("lock the store %s: %w", dir, err)
	case !ok:
		return nil, fmt.Errorf("%s: %w: stop the other `backburn run`, or use another nats.embedded.store_dir and nats.url here",
			dir, ErrLocked)
	}
	return lock, nil
}

// ready waits until the server is ready or gives up.
func ready(ctx context.Context, ns *server.Server, logger *logger) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready within %s", startTimeout))
	defer cancel()
	for !ns.ReadyForConnections(readyInterval) {
		select {
		case err := <-logger.fatal:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
	}

	select {
	case err := <-logger.fatal:
		return err
	default:
		logger.up.Store(true)
		return nil
	}
}

// explain finds the sentinel for the text of the server's last error.
func explain(err error, cfg natsconn.Config) error {
	switch text := err.Error(); {
	case strings.Contains(text, "address already in use"), strings.Contains(text, "Only one usage of each socket address"):
		return fmt.Errorf("embedded nats server: %s: %w: stop what listens there, or set another port in nats.url", cfg.URL, ErrPortInUse)
	case saysNoSpace(text):
		free, _ := FreeSpace(cfg.Embedded.StoreDir)
		return fullDisk(cfg.Embedded.StoreDir, free)
	}
	return fmt.Errorf("embedded nats server: %w", err)
}

// clientOf returns the configuration of a client of this server, without the settings for other
// servers.
func clientOf(ns *server.Server, cfg natsconn.Config) natsconn.Config {
	return natsconn.Config{
		URL:      ns.ClientURL(),
		Prefix:   cfg.Prefix,
		Replicas: cfg.Replicas,
		Embedded: cfg.Embedded,
	}
}

// Token returns the token that clients need.
func (s *Server) Token() auth.Secret { return s.token }

// NATS returns the configuration of a client of this server.
func (s *Server) NATS() natsconn.Config { return s.cfg }

// InProcess returns an option for a client in the server's own process: it connects by a pipe
// instead of a socket.
func (s *Server) InProcess() nats.Option { return nats.InProcessServer(s.server) }

// Report adds the server and the disk of its store to a registry.
func (s *Server) Report(r *health.Registry) {
	r.Func("store", "", func() error {
		switch {
		case s.logger.writeFailed.Load():
			return health.Fault{
				Cause:  health.CauseDisk,
				Reason: "the embedded nats server could not write its store, and accepts no messages until the store is opened again",
				Remedy: "free the disk if it is full, and see the server's log lines; the store is opened again within seconds once it can be written",
			}
		case s.server.Running() && s.server.JetStreamEnabled():
			return nil
		}

		return health.Fault{
			Reason: "the embedded nats server is down, or has switched JetStream off",
			Remedy: "see its log lines, and start again",
		}
	})
	r.Probe("disk", "", health.Probe{Every: 5 * time.Second, Ask: func(context.Context) error {
		_, err := CheckSpace(s.cfg.Embedded.StoreDir)
		return err
	}})
}

// MaxStore returns the limit for all streams together, in bytes. A stream reserves its MaxBytes
// when it is created, so the sum of these must fit.
func (s *Server) MaxStore() config.Size { return s.maxStore }

// Shutdown stops the server, waits until everything is written, and unlocks the store.
// It may be called more than once.
func (s *Server) Shutdown() {
	s.reopener.stop()
	s.server.Shutdown()
	s.server.WaitForShutdown()
	_ = s.lock.Unlock()
}
