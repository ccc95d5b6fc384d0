// Package natsconn connects a process to the NATS server, or cluster, of its
// configuration, and keeps it connected.
//
// A connection that is lost is looked for again for ever, with jitter, and nothing is
// buffered meanwhile: a publish that the server did not acknowledge did not happen.
// What the server refuses later (a permission that is missing, a reader that is too
// slow) reaches no caller, so it is logged here, and Health tells about the rest.
package natsconn

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/config"
	"backburn/internal/health"
	"backburn/internal/jets"
)

const (
	dialTimeout   = 5 * time.Second  // for each server of the list
	reconnectWait = time.Second      // between two rounds through the list
	reconnectRand = time.Second      // added at random, so that a fleet does not come back at once
	pingInterval  = 20 * time.Second // two pings without an answer mean that the connection is gone
)

// Option changes how Connect behaves.
type Option func(*settings)

type settings struct {
	patient bool
	options []nats.Option
}

// Patient makes Connect return a connection that is still looking for its server instead
// of ErrUnreachable. Credentials that are refused are an error all the same.
func Patient() Option { return func(s *settings) { s.patient = true } }

// Inbox gives this process a reply prefix of its own, "_INBOX_<prefix>_<role>", so that
// permissions can keep one role from reading the answers to another. Without it the
// prefix is the common _INBOX.
func Inbox(prefix, role string) Option {
	return func(s *settings) { s.options = append(s.options, nats.CustomInboxPrefix(InboxPrefix(prefix, role))) }
}

// InboxPrefix is the prefix that Inbox sets, for the permissions that go with it.
func InboxPrefix(prefix, role string) string { return "_INBOX_" + prefix + "_" + role }

// Connect connects under a name that the server shows to its operators. It tries each
// server of cfg.URL once and then returns one of this package's errors (for errors.Is) with what
// to do about it; unreadable or exposed credential files are errors of their own. The caller
// closes or drains the connection.
func Connect(cfg config.NATS, name string, log zerolog.Logger, opts ...Option) (*nats.Conn, error) {
	credentials, err := credentials(cfg)
	if err != nil {
		return nil, err
	}
	transport, err := transport(cfg.TLS)
	if err != nil {
		return nil, err
	}
	s := settings{}
	for _, o := range opts {
		o(&s)
	}

	options := append([]nats.Option{
		nats.Name(name),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectRand, reconnectRand),
		nats.ReconnectBufSize(-1), // a publish while disconnected fails, and is known to
		nats.IgnoreAuthErrorAbort(),
		nats.PermissionErrOnSubscribe(true),
	}, watch(log)...)
	options = append(options, credentials...)
	options = append(options, transport...)
	options = append(options, s.options...)
	warnInClear(cfg, log)

	servers := strings.Join(cfg.URLs(), ",")
	nc, err := nats.Connect(servers, options...)
	if err != nil && s.patient && passing(cfg, err) {
		// Not at first, because the library would look for a server for ever that is
		// there and refuses.
		nc, err = nats.Connect(servers, append(options, nats.RetryOnFailedConnect(true))...)
	}
	if err != nil {
		return nil, explain(cfg, err)
	}
	return nc, nil
}

// JetStream returns the JetStream of a connection, in the domain of the configuration.
func JetStream(nc *nats.Conn, cfg config.NATS, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	return jets.New(nc, cfg.Domain, opts...)
}

// watch logs what happens to a connection after it was made.
func watch(log zerolog.Logger) []nats.Option {
	return []nats.Option{
		nats.ConnectHandler(func(nc *nats.Conn) {
			log.Debug().Str("server", nc.ConnectedUrlRedacted()).Msg("connected to nats")
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // the health registry tells people
				log.Debug().Err(err).Msg("lost the connection to nats; reconnecting")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Debug().Str("server", nc.ConnectedUrlRedacted()).Msg("connected to nats again")
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			log.Debug().Err(err).Msg("nats is still unreachable")
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			event := log.Error().Err(err)
			if sub != nil {
				event = event.Str("subject", sub.Subject)
			}
			switch {
			case errors.Is(err, nats.ErrPermissionViolation):
				event.Msg("nats denies this process a subject; compare its permissions with `backburn acl`")
			case errors.Is(err, nats.ErrSlowConsumer):
				event.Msg("this process reads too slowly; nats dropped messages")
			default:
				event.Msg("nats reports an error")
			}
		}),
	}
}

// Health tells how a connection is, for the health registry: it has failed while there is none.
func Health(nc *nats.Conn) func() error {
	return func() error {
		status := nc.Status()
		if status == nats.CONNECTED {
			return nil
		}

		f := health.Fault{
			Cause:  health.CauseTCP,
			Reason: "NATS is away (" + strings.ToLower(status.String()) + ")",
			Remedy: "start the NATS server, or check nats.url and the network; nothing is lost meanwhile",
		}
		if err := nc.LastError(); err != nil {
			f.Reason += ": " + err.Error()
			if u, ok := health.Unreachable(err); ok {
				f.Cause = u.Cause
			}
			if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) {
				f.Cause = health.CauseRefused
				f.Remedy = "check nats.credentials_file, nats.nkey_file, nats.user or nats.token_file"
			}
		}

		return f
	}
}

// Ready is Health for those who ask with a context: nil while there is a connection.
func Ready(nc *nats.Conn) func(context.Context) error {
	tells := Health(nc)

	return func(context.Context) error { return tells() }
}
