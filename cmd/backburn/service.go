package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/wildfire"
)

// fleetTimeout limits the attempt to reach the fleet, for commands that also work without it.
const fleetTimeout = 3 * time.Second

// fleetLink is a command's connection to the fleet. It is empty if NATS is not reachable.
type fleetLink struct {
	queue  *queue.Queue // nil: not reachable
	close  func()
	reason error // why there is no queue
}

// linkFleet tries to connect to the fleet without printing errors, because its callers also work
// without the fleet.
func linkFleet(ctx context.Context, cfg config.Config, command string) fleetLink {
	ctx, cancel := context.WithTimeout(ctx, fleetTimeout)
	defer cancel()
	q, release, err := dial(ctx, cfg, command, zerolog.Nop())
	if err != nil {
		return fleetLink{close: func() {}, reason: err}
	}

	return fleetLink{queue: q, close: release}
}

// authOptions returns the options of a token source, a login or a logout. They are the same for all
// three, so that all find the fleet's grant.
func (l fleetLink) authOptions(ctx context.Context, tool *cli.App, cfg config.Config, profile string) ([]auth.Option, error) {
	t, err := transport(cfg)
	if err != nil {
		return nil, err
	}

	opts, err := l.sharingOptions(ctx, cfg, profile)

	return append(opts, auth.WithTransport(t), auth.WithUserAgent(app.UserAgent), auth.WithLogger(commandLog(tool, cfg))), err
}

// sharingOptions returns the options to share tokens and grants through the fleet, if it is
// reachable.
func (l fleetLink) sharingOptions(ctx context.Context, cfg config.Config, profile string) ([]auth.Option, error) {
	required := cfg.Auth[profile].Share == auth.ShareRequired
	if l.queue == nil {
		if required {
			return nil, cli.Exit(cli.Unreachable, fmt.Errorf("auth.%s.share is \"required\", but the fleet is not reachable: %w", profile, l.reason))
		}
		return nil, nil
	}

	ctx, cancel := context.WithTimeout(ctx, fleetTimeout)
	defer cancel()
	opts, err := app.SharingOptions(ctx, cfg, profile, l.queue)
	if err != nil && required {
		return nil, cli.Exit(cli.Unreachable, err)
	}

	return opts, nil
}

// checkProfile returns an error unless the configuration has a complete profile of this name.
func checkProfile(cfg config.Config, profile string) error {
	if _, ok := cfg.Auth[profile]; !ok {
		return cli.Usagef("there is no profile %q; the configuration has %s", profile, strings.Join(slices.Sorted(maps.Keys(cfg.Auth)), ", "))
	}
	if err := cfg.CheckProfile(profile); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return nil
}

// transport uses the proxy from the environment, and also trusts wildfire.ca_file.
func transport(cfg config.Config) (http.RoundTripper, error) {
	t, err := wildfire.NewTransport(app.WildFireConfig(cfg).Network)
	if err != nil {
		return nil, cli.Exit(cli.Usage, fmt.Errorf("wildfire: %w", err))
	}
	return t, nil
}

// tokenSource returns the token source of a profile. The caller closes it.
func tokenSource(ctx context.Context, tool *cli.App, cfg config.Config, profile string, fleet fleetLink) (*auth.Source, error) {
	if err := checkProfile(cfg, profile); err != nil {
		return nil, err
	}

	opts, err := fleet.authOptions(ctx, tool, cfg, profile)
	if err != nil {
		return nil, err
	}

	s, err := auth.New(cfg.Profile(profile), opts...)
	if err != nil {
		return nil, cli.Exit(cli.Usage, err)
	}

	return s, nil
}

// service is a WildFire client for commands that call WildFire directly.
type service struct {
	*wildfire.Client
	Tokens *auth.Source
	fleet  fleetLink
}

// connectWildFire returns a client with the configured credential. The caller closes it.
func connectWildFire(ctx context.Context, tool *cli.App, cfg config.Config, command string) (*service, error) {
	return newService(ctx, tool, cfg, linkFleet(ctx, cfg, command))
}

// newService is connectWildFire with an existing link to the fleet, which it then owns.
func newService(ctx context.Context, tool *cli.App, cfg config.Config, fleet fleetLink) (*service, error) {
	s := &service{fleet: fleet}
	var err error
	if s.Tokens, err = tokenSource(ctx, tool, cfg, cfg.WildFire.Auth, s.fleet); err != nil {
		s.fleet.close()
		return nil, err
	}

	w := app.WildFireConfig(cfg)
	if w.Transport, err = transport(cfg); err == nil {
		s.Client, err = wildfire.New(w, s.Tokens)
	}

	if err != nil {
		_ = s.Tokens.Close()
		s.fleet.close()

		return nil, cli.Exit(cli.Usage, fmt.Errorf("wildfire: %w", err))
	}

	return s, nil
}

// chargeQueries adds queries of this command to the fleet's count.
func (s *service) chargeQueries(ctx context.Context, queries int) {
	if s.fleet.queue == nil || queries == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fleetTimeout)
	defer cancel()
	_ = fleet.Charge(ctx, s.fleet.queue.Control(), pipeline.Queries, queries, time.Now()) // WildFire counts the queries in any case
}

func (s *service) close() {
	s.Client.Close()
	_ = s.Tokens.Close()
	s.fleet.close()
}

// withExitCode sets the exit code of errors about missing services: one that does not answer or
// returns no token, or a server that cannot start.
func withExitCode(err error) error {
	for _, missing := range []error{
		wildfire.ErrTransport, wildfire.ErrToken, wildfire.ErrGateway, wildfire.ErrUnavailable, wildfire.ErrUnauthorized,
		auth.ErrTemporary, auth.ErrCredentialRejected, auth.ErrReauthorize,
		natsd.ErrLocked, natsd.ErrPortInUse, natsd.ErrNoSpace,
	} {
		if errors.Is(err, missing) {
			return cli.Exit(cli.Unreachable, err)
		}
	}

	return err
}
