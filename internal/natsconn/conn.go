// Package natsconn connects a process to the NATS server, or cluster, of its configuration, and
// keeps it connected.
//
// It reconnects after a loss, without a limit and with jitter, and buffers nothing meanwhile, so a
// publish while disconnected fails at once. Later refusals by the server (a missing permission, a
// slow reader) reach no caller, so they are logged here or, with ReportDenials, reported to a part.
// Health reports the state of the connection.
package natsconn

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/health"
	"backburn/internal/jets"
)

const (
	dialTimeout     = 5 * time.Second  // for each server of the list
	reconnectWait   = time.Second      // between two rounds over the list
	reconnectJitter = time.Second      // added at random, so that not all of a fleet reconnects at once
	pingInterval    = 20 * time.Second // after two pings without an answer the connection counts as lost
)

// Inbox gives this process its own reply prefix, "_INBOX_<prefix>_<role>", so that permissions can
// prevent a role from reading the answers to another one. Without it the prefix is the common
// _INBOX.
func Inbox(prefix, role string) nats.Option {
	return nats.CustomInboxPrefix(InboxPrefix(prefix, role))
}

// InboxPrefix returns the prefix that Inbox sets, for the corresponding permissions.
func InboxPrefix(prefix, role string) string { return "_INBOX_" + prefix + "_" + role }

// Connect connects under a name that the server shows to its operators. It tries each server of
// cfg.URL once, and gives up when ctx ends; ctx does not limit the connection. If no server accepts
// the connection until the deadline of ctx, the error matches one of this package's errors and says
// what to do. Files that are unreadable or invalid, and secrets that other users can read, are
// errors, too. The caller closes or drains the connection.
func Connect(ctx context.Context, cfg Config, name string, log zerolog.Logger, opts ...nats.Option) (*nats.Conn, error) {
	credentials, err := credentials(cfg)
	if err != nil {
		return nil, err
	}

	transport, err := transport(cfg.TLS)
	if err != nil {
		return nil, err
	}

	options := append([]nats.Option{
		nats.Name(name),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.ReconnectBufSize(-1), // a publish while disconnected fails at once
		nats.IgnoreAuthErrorAbort(),
		nats.PermissionErrOnSubscribe(true),
	}, watch(log)...)
	options = append(options, credentials...)
	options = append(options, transport...)
	options = append(options, opts...)
	warnUnencrypted(cfg, log)

	type result struct {
		nc  *nats.Conn
		err error
	}
	results := make(chan result)
	go func() { // ends when every server was tried, or with the process
		nc, err := connect(cfg, options)
		select {
		case results <- result{nc, err}:
		case <-ctx.Done(): // nobody waits any more
			if nc != nil {
				nc.Close()
			}
		}
	}()

	select {
	case r := <-results:
		return r.nc, r.err
	case <-ctx.Done():
		if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			return nil, explain(cfg, err)
		}

		return nil, context.Cause(ctx)
	}
}

// connect connects, and checks that the connection may receive answers.
func connect(cfg Config, options []nats.Option) (*nats.Conn, error) {
	var checked atomic.Bool
	options = append(options, quietUntil(&checked))
	nc, err := nats.Connect(strings.Join(cfg.URLs(), ","), options...)
	if err != nil {
		return nil, explain(cfg, err)
	}
	if mayNotReceive(nc) {
		nc.Close()
		return nil, wrongRole(cfg, nc.Opts.InboxPrefix)
	}
	checked.Store(true)

	return nc, nil
}

// mayNotReceive reports whether the server denies the connection its own inbox prefix. Then no
// request would ever be answered.
func mayNotReceive(nc *nats.Conn) bool {
	if nc.Opts.InboxPrefix == "" {
		return false
	}
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return false // the connection is lost, and the first request will show it
	}
	defer func() { _ = sub.Unsubscribe() }()

	// The server's error arrives before its answer.
	return nc.FlushTimeout(dialTimeout) == nil && errors.Is(nc.LastError(), nats.ErrPermissionViolation)
}

// quietUntil drops denials until connect has checked the connection and can return them.
func quietUntil(checked *atomic.Bool) nats.Option {
	return func(o *nats.Options) error {
		others := o.AsyncErrorCB
		o.AsyncErrorCB = func(nc *nats.Conn, sub *nats.Subscription, err error) {
			if checked.Load() || !errors.Is(err, nats.ErrPermissionViolation) {
				others(nc, sub, err)
			}
		}

		return nil
	}
}

// JetStream returns the JetStream context of a connection, in the configured domain.
func JetStream(nc *nats.Conn, cfg Config, opts ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	return jets.New(nc, cfg.Domain, opts...)
}

// watch logs the later events of a connection.
func watch(log zerolog.Logger) []nats.Option {
	return []nats.Option{
		nats.ConnectHandler(func(nc *nats.Conn) {
			log.Debug().Str("server", nc.ConnectedUrlRedacted()).Msg("connected to nats")
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // the health registry reports it
				log.Debug().Err(err).Msg("lost the connection to nats; reconnecting")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Debug().Str("server", nc.ConnectedUrlRedacted()).Msg("reconnected to nats")
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			log.Debug().Err(err).Msg("nats is still unreachable")
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			level, text := zerolog.ErrorLevel, "nats reports an error"
			switch {
			case errors.Is(err, nats.ErrPermissionViolation):
				text = "nats denies this process a subject; " + permissionsRemedy
			case errors.Is(err, nats.ErrSlowConsumer):
				text = "this process reads too slowly; nats dropped messages"
			case errors.Is(err, nats.ErrConsumerNotActive): // follows an interruption, which the health registry reports
				level, text = zerolog.DebugLevel, "a consumer has stopped; nats.go creates it again"
			}

			event := log.WithLevel(level).Err(err)
			if sub != nil {
				event = event.Str("subject", sub.Subject)
			}
			event.Msg(text)
		}),
	}
}

const (
	permissionsRemedy = "compare its permissions with `backburn acl`"

	// deniedExpiry is how long a process that was denied a subject stays degraded.
	deniedExpiry = 5 * time.Minute
)

// ReportDenials returns an option that reports subjects which the server denies to the connection.
// The caller of the publish only sees that no answer comes.
func ReportDenials(p *health.Part) nats.Option {
	return func(o *nats.Options) error {
		others := o.AsyncErrorCB
		o.AsyncErrorCB = func(nc *nats.Conn, sub *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrPermissionViolation) {
				others(nc, sub, err)
				return
			}

			p.Fault(health.Fault{
				State:   health.Degraded,
				Cause:   health.CauseRefused,
				Reason:  "NATS denies this process a subject: " + deniedSubject(err),
				Remedy:  permissionsRemedy,
				Expires: deniedExpiry,
			})
		}

		return nil
	}
}

// deniedSubject shortens the server's text of a denial, such as: Permissions Violation for Publish
// to "backburn.jobs.normal.mail".
func deniedSubject(err error) string {
	_, text, found := strings.Cut(err.Error(), "Permissions Violation for ")
	if !found {
		return err.Error()
	}

	return text
}

// Health returns the state of a connection for the health registry: failed while it is not
// connected.
func Health(nc *nats.Conn) func() error {
	return func() error {
		status := nc.Status()
		if status == nats.CONNECTED {
			return nil
		}

		f := health.Fault{
			Cause:  health.CauseTCP,
			Reason: "NATS is unreachable (" + strings.ToLower(status.String()) + ")",
			Remedy: "start the NATS server, or check nats.url and the network; no job is lost meanwhile",
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

// Ready is Health with a context: nil while there is a connection.
func Ready(nc *nats.Conn) func(context.Context) error {
	state := Health(nc)

	return func(context.Context) error { return state() }
}
